#!/usr/bin/env python3
"""configuration: what is wrong is told with file, line, key and what is allowed; layers win in order"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from gateway import Gateway, echo, sanitizer_options
from support import ROOT, build, check, equal, main, patient, test

GOOD = """\
http: { listen: 127.0.0.1:0 }
grpc: { listen: 127.0.0.1:0 }
pools:
  - name: echo
    worker: { plugin: echo }
"""


def poolgate(*arguments, environment=None, folder=None):
    """Runs a command of the program to its end: (exit code, stdout, stderr)."""
    variables = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **sanitizer_options(), **(environment or {})}
    run = subprocess.run([build.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         env=variables, cwd=folder, timeout=patient(20), check=False)
    return run.returncode, run.stdout, run.stderr


def check_text(text, *arguments, environment=None):
    with tempfile.TemporaryDirectory(prefix="poolgate-config-") as folder:
        Path(folder, "poolgate.yaml").write_text(text)
        return poolgate("check", "--config", "poolgate.yaml", *arguments, environment=environment, folder=folder)


@test
def a_good_configuration_passes_the_check():
    code, out, err = check_text(GOOD)
    equal((code, err), (0, ""), f"exit code and stderr (stdout: {out!r})")


@test
def every_sample_in_the_repository_passes_the_check():
    samples = sorted(ROOT.glob("docker/*.yaml"))
    check(any(path.name == "poolgate.yaml" for path in samples), "docker/poolgate.yaml is there")
    code, _, err = poolgate("check", "--config", str(ROOT / "docker" / "poolgate.yaml"))
    equal(code, 0, f"exit code ({err})")


@test
def every_key_of_the_contract_is_accepted():
    text = """\
http:  { listen: 127.0.0.1:8080, max_body: 64MiB, max_connections: 10000, header_timeout: 10s, min_rate: 1KiB,
         half_close: cancel, guard: standard, trusted_proxies: [], origins: [], tls: { cert: , key: , client_ca: , client_names: [] } }
grpc:  { listen: 127.0.0.1:8081, max_message: 64MiB, max_streams: 1000, keepalive: 60s, max_age: 0s, reflection: true,
         tls: { cert: , key: , client_ca: , client_names: [] } }
admin: { listen: }
auth:  { keys_file: , allow_anonymous: false, trust_tenant_header: }
process: { user: , allow_root: false }
memory: { limit: 80% }
jobs:  { path: , keep: 24h, max: 100000, webhooks: [] }
trace: { otlp: }
drain: { grace: 5s, timeout: 25s }
log:   { level: info, format: text }
chaos: { }
pools:
  - name: ocr
    capability: vision
    worker: { plugin: ocr, args: { language: eng } }
    isolation: process
    slots: { min: 1, max: 4, inflight: 1, staged: 1, cpus: any }
    memory: 200MiB
    queue: { capacity: 10000, bytes: 1GiB, reserve: 10%, aging: 30s, dedup: 0ms, batch: { max: 1, delay: 0ms },
             fair: true, overload: shed }
    timeouts: { load: 30s, request: 60s, max: 1h, idle: 300s, cancel: 30s, kill: 5s }
    required: true
    health: { interval: 10s, timeout: 1s, misses: 3, deep: 0s }
    breaker: { failures: 5, open: 60s, probes: 3, successes: 3 }
    scale: { policy: adaptive, interval: 1s }
    stream: { stall: 30s }
    retry: { crashes: 1 }
    recycle: { requests: 0, memory: 0 }
    env: { pass: [PATH, LANG], set: {} }
    sandbox: standard
  - name: other
    worker: { command: [python3, my_worker.py] }
"""
    code, _, err = check_text(text)
    equal((code, err), (0, ""), "exit code and stderr")


# line of the file, key that is named, the file with a mistake in it
MISTAKES = {
    "an unknown key": (1, "http.lissen", GOOD.replace("listen", "lissen", 1)),
    "an unknown section": (6, "htttp", GOOD + "htttp: {}\n"),
    "a size that is none": (1, "http.max_body", GOOD.replace("http: {", "http: { max_body: 64Mib,")),
    "a time that is none": (6, "drain.grace", GOOD + "drain: { grace: soon }\n"),
    "a time without a unit": (6, "drain.grace", GOOD + "drain: { grace: 5 }\n"),
    "an address without a port": (1, "http.listen", GOOD.replace("127.0.0.1:0", "127.0.0.1", 1)),
    "a port that is too large": (1, "http.listen", GOOD.replace("127.0.0.1:0", "127.0.0.1:65536", 1)),
    "an unknown choice": (6, "log.level", GOOD + "log: { level: loud }\n"),
    "a number that is none": (6, "pools.echo.slots.min", GOOD + "    slots: { min: many }\n"),
    "more slots at least than at most": (6, "pools.echo.slots.min", GOOD + "    slots: { min: 5, max: 4 }\n"),
    "a deadline above its cap": (6, "pools.echo.timeouts.request",
                                 GOOD + "    timeouts: { request: 2h, max: 1h }\n"),
    "a pool without a worker": (4, "pools.echo.worker.plugin", GOOD.replace("    worker: { plugin: echo }\n", "")),
    "a pool with two kinds of worker": (5, "pools.echo.worker",
                                        GOOD.replace("plugin: echo", "plugin: echo, command: [a]")),
    "a pool's name that is none": (4, "pools[0].name", GOOD.replace("name: echo", "name: Echo Chamber")),
    "two pools of one name": (6, "pools.echo.name", GOOD + "  - name: echo\n    worker: { plugin: echo }\n"),
    "no pools": (1, "pools", GOOD[:GOOD.index("pools:")]),
    "a list where a map belongs": (1, "http", GOOD.replace("{ listen: 127.0.0.1:0 }", "[]", 1)),
    "the same key twice": (1, "http.listen", GOOD.replace(":0 }", ":0, listen: 127.0.0.1:0 }", 1)),
    "a public address without keys": (1, "http.listen", GOOD.replace("127.0.0.1:0", "0.0.0.0:0", 1)),
    "a certificate without its key": (1, "http.tls.cert", GOOD.replace("http: {", "http: { tls: { cert: /etc/x.pem },")),
    "a certificate that is not there": (1, "http.tls.cert", GOOD.replace("http: {", "http: { tls: { cert: /nowhere/x.pem, key: /nowhere/y.pem },")),
    "faults without permission": (6, "chaos", GOOD + "chaos: { ocr: crash=1% }\n"),
}


@test
def every_mistake_is_told_with_file_line_key_and_what_is_allowed():
    wrong = []
    for name, (line, key, text) in MISTAKES.items():
        code, _, err = check_text(text)
        told = re.findall(r"^poolgate\.yaml:(\d+): ([^:]+): (.+)$", err, re.M)
        if code != 2:
            wrong.append(f"{name}: exit code {code}, {err!r}")
        elif not any(int(at) == line and found.startswith(key) and "allowed" in what for at, found, what in told):
            wrong.append(f"{name}: wanted line {line} and key {key}, got {err!r}")
    check(not wrong, "\n  " + "\n  ".join(wrong))


@test
def serve_refuses_a_bad_configuration_the_same_way():
    with tempfile.TemporaryDirectory(prefix="poolgate-config-") as folder:
        Path(folder, "bad.yaml").write_text(GOOD + "log: { level: loud }\n")
        code, _, err = poolgate("serve", "--config", "bad.yaml", folder=folder)
        equal(code, 2, "exit code")
        check(re.search(r"^bad\.yaml:6: log\.level: .*allowed.*debug", err, re.M), f"stderr: {err!r}")


@test
def several_mistakes_are_told_at_once():
    code, _, err = check_text(GOOD.replace("listen", "lissen", 1) + "log: { level: loud }\ndrain: { grace: x }\n")
    equal(code, 2, "exit code")
    equal(re.findall(r"^poolgate\.yaml:(\d+):", err, re.M), ["1", "6", "7"], "lines that were named")


@test
def what_is_not_yaml_is_told_with_its_line():
    for text in (GOOD + "log: { level: [\n", "\tname: x\n", "a: b: c\n", "\x00", "&a [*a]\n"):
        code, _, err = check_text(text)
        equal(code, 2, f"exit code for {text[-12:]!r}")
        check(re.search(r"^poolgate\.yaml:\d+: ", err, re.M), f"stderr for {text[-12:]!r}: {err!r}")


@test
def a_file_that_is_not_there_is_told():
    code, _, err = poolgate("check", "--config", "/no/such/file.yaml")
    equal(code, 2, "exit code")
    check("/no/such/file.yaml" in err, f"stderr: {err!r}")


@test
def a_public_address_is_allowed_when_anonymous_clients_are():
    public = GOOD.replace("127.0.0.1:0", "0.0.0.0:0", 1)
    equal(check_text(public + "auth: { allow_anonymous: true }\n")[0], 0, "exit code")


@test
def the_environment_beats_the_file_and_set_beats_both():
    pool, variable = echo(capability="from-file"), {"POOLGATE_POOLS_ECHO_CAPABILITY": "from-env"}
    wait = {"POOLGATE_POOLS_ECHO_WORKER_ARGS": "{delay_ms: 300}"}
    settings = ["pools.echo.capability=from-set", "pools.echo.slots.max=3", "pools.echo.slots.min=2"]
    with Gateway([pool]) as gateway:
        equal(gateway.pool("echo")["capability"], "from-file", "from the file")
    with Gateway([pool], environment=variable) as gateway:
        equal(gateway.pool("echo")["capability"], "from-env", "from the environment")
    with Gateway([pool], environment={**variable, **wait}, settings=settings) as gateway:
        pool = gateway.pool("echo")
        equal((pool["capability"], pool["slots"]["min"], pool["slots"]["max"]), ("from-set", 2, 3), "from --set")
        check(gateway.post("echo", b"x").timing["run"] >= 300, "a map from the environment reached the worker")


@test
def mistakes_outside_the_file_are_told_with_their_place():
    code, _, err = check_text(GOOD, environment={"POOLGATE_HTTP_LISTEN": "nonsense"})
    equal(code, 2, "exit code")
    check("POOLGATE_HTTP_LISTEN" in err and "http.listen" in err, f"stderr: {err!r}")
    code, _, err = check_text(GOOD, "--set", "http.listen=nonsense")
    equal(code, 2, "exit code")
    check("--set" in err and "http.listen" in err and "allowed" in err, f"stderr: {err!r}")
    code, _, err = check_text(GOOD, "--set", "no.such.key=1")
    equal(code, 2, "exit code")
    check("no.such.key" in err, f"stderr: {err!r}")


@test
def an_unknown_variable_of_ours_warns_and_does_not_fail():
    code, _, err = check_text(GOOD, environment={"POOLGATE_SERVICE_PORT_HTTP": "8080"})
    equal(code, 0, "exit code")
    check("warning" in err and "POOLGATE_SERVICE_PORT_HTTP" in err, f"stderr: {err!r}")


main(__doc__)
