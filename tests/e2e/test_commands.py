#!/usr/bin/env python3
"""commands: version, help, check, invoke and status, as one types them"""

import json
import os
import re
import subprocess

from gateway import Gateway, echo, parse_reply, receive, sanitizer_options
from support import build, check, equal, eventually, main, patient, test


def poolgate(*arguments, data=b"", environment=None):
    """Runs a command of the program to its end: (exit code, stdout, stderr)."""
    variables = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **sanitizer_options(), **(environment or {})}
    run = subprocess.run([build.program, *arguments], input=data, capture_output=True, env=variables,
                         timeout=patient(30), check=False)
    return run.returncode, run.stdout, run.stderr.decode(errors="replace")


@test
def version_says_name_and_number():
    code, out, _ = poolgate("version")
    equal(code, 0, "exit code")
    check(re.match(rb"poolgate \d+\.\d+\.\d+", out), f"stdout: {out!r}")


@test
def help_names_every_command_and_every_command_has_help():
    code, out, _ = poolgate("--help")
    equal(code, 0, "exit code")
    for command in ("serve", "check", "invoke", "status", "version"):
        check(command.encode() in out, f"--help names {command}")
        code, text, _ = poolgate(command, "--help")
        equal(code, 0, f"exit code of {command} --help")
        check(command.encode() in text, f"{command} --help: {text!r}")


@test
def an_unknown_command_or_option_is_refused_with_a_hint():
    for arguments in (("dance",), ("serve", "--dance"), ("check", "more"), ("invoke",)):
        code, _, err = poolgate(*arguments)
        check(code not in (0, -6, -11) and err, f"poolgate {' '.join(arguments)}: {code}, {err!r}")


def at(gateway):
    """How a command finds this gateway."""
    return {"POOLGATE_URL": gateway.url}


@test
def invoke_sends_a_file_or_stdin_and_prints_the_answer():
    with Gateway([echo()]) as gateway:
        path = gateway.folder / "input"
        data = os.urandom(300_000)
        path.write_bytes(data)
        for arguments, body in (((str(path),), b""), (("-",), data), ((), data)):
            gateway.sent += 1
            code, out, err = poolgate("invoke", "echo", *arguments, data=body, environment=at(gateway))
            equal((code, out == data), (0, True), f"exit code and answer of invoke {arguments} ({err})")


@test
def invoke_passes_type_priority_and_timeout():
    with Gateway([echo()]) as gateway:
        gateway.sent += 1
        options = ("--type", "text/x-test", "--priority", "high", "--timeout", "5000")
        code, out, err = poolgate("invoke", "echo", "-", *options, data=b"x", environment=at(gateway))
        equal((code, out), (0, b"x"), f"exit code and answer ({err})")


@test
def invoke_fails_with_the_gateways_own_words():
    with Gateway([echo(args={"fail_rate": 1})]) as gateway:
        gateway.sent += 1
        code, out, err = poolgate("invoke", "echo", "-", data=b"x", environment=at(gateway))
        check(code not in (0, -6, -11), f"exit code {code}")
        check("worker_error" in err and "fail_rate" in err, f"stderr: {err!r}")
        code, _, err = poolgate("invoke", "nobody", "-", data=b"x", environment=at(gateway))
        check(code != 0 and "no_such_pool" in err, f"an unknown pool: {code}, {err!r}")


@test
def status_shows_every_slot_for_people_and_for_programs():
    with Gateway([echo(slots=2), echo("other")]) as gateway:
        code, out, err = poolgate("status", environment=at(gateway))
        equal(code, 0, f"exit code ({err})")
        for name in ("echo/0", "echo/1", "other/0"):
            check(name.encode() in out, f"{name} is in the table:\n{out.decode()}")
        code, out, err = poolgate("status", "--json", environment=at(gateway))
        equal(code, 0, f"exit code ({err})")
        text = json.dumps(json.loads(out))
        check('"echo"' in text and '"other"' in text, f"both pools: {text[:200]}")


@test
def status_tells_of_an_open_breaker_and_of_named_tenants():
    with Gateway([echo(), echo("broken", breaker={"failures": 1})]) as gateway:
        code, out, err = poolgate("status", environment=at(gateway))
        check(code == 0 and b"breaker" not in out and b"tenant" not in out, f"nothing to tell: {err}\n{out.decode()}")
        gateway.post("broken", b"x", "fail")
        eventually(lambda: gateway.pool("broken")["breaker"]["state"] == "open", about="the breaker is open")
        running = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(500))}",
                                                headers={"Poolgate-Tenant": "alice"}))
        gateway.until_processing("echo")
        code, out, err = poolgate("status", environment=at(gateway))
        check(code == 0 and b"broken: the circuit breaker is open, it tries again in " in out, f"{err}\n{out.decode()}")
        check(b"echo: tenant alice: 0 waiting, 1 running" in out, out.decode())
        equal(parse_reply(receive(running)).status, 200, "the running one")


@test
def status_ready_says_with_its_exit_code_whether_the_gateway_is_ready():
    with Gateway([echo()]) as gateway:
        for arguments, environment in ((("--url", gateway.url), {}), ((), at(gateway))):
            code, out, err = poolgate("status", "--ready", *arguments, environment=environment)
            equal((code, out, err), (0, b"ready\n", ""), f"status --ready {arguments}")
        code, _, err = poolgate("status", "--ready", "--json", environment=at(gateway))
        equal(code, 2, f"exit code with --json ({err})")
    with Gateway([echo(args={"load_ms": 600_000})], wait=None) as gateway:
        code, out, _ = poolgate("status", "--ready", environment=at(gateway))
        equal((code, out), (1, b"not_ready: pool echo is starting\n"), "while it starts")


@test
def without_a_gateway_the_commands_say_so():
    nowhere = {"POOLGATE_URL": "http://127.0.0.1:1"}
    for arguments in (("status",), ("status", "--ready"), ("invoke", "echo", "-")):
        code, _, err = poolgate(*arguments, environment=nowhere)
        check(code not in (0, -6, -11) and "127.0.0.1:1" in err, f"poolgate {arguments}: {code}, {err!r}")


@test
def two_gateways_cannot_have_the_same_port():
    with Gateway([echo()]) as gateway:
        path = str(gateway.config_file)
        code, _, err = poolgate("serve", "--config", path, "--set", f"http.listen={gateway.host}:{gateway.port}")
        check(code not in (0, -6, -11), f"exit code {code}")
        check(str(gateway.port) in err, f"stderr names the address: {err!r}")


main(__doc__)
