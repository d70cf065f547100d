#!/usr/bin/env python3
"""process: what the gateway gives up, who it may be, and what it tells the service manager"""

import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from certificates import Papers, SecureGateway
from gateway import Gateway, echo, request_bytes
from support import between, build, check, equal, eventually, main, patient, skip, test

NOBODY = "65534:65534"
PUBLIC = {"auth": {"allow_anonymous": True}, "http": {"listen": "0.0.0.0:0"}}


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def soft_core_limit(pid):
    return resource.prlimit(pid, resource.RLIMIT_CORE)[0]


def need_root():
    if os.geteuid() != 0:
        skip("only root can become somebody else")
    folder = build.folder
    while folder != folder.parent:
        if not folder.stat().st_mode & stat.S_IXOTH:
            skip(f"other users cannot reach the build: {folder}")
        folder = folder.parent


def refusal(prefix=(), **sections):
    """Runs a gateway that must not start: (exit code, stderr)."""
    gateway = Gateway([echo()], prefix=prefix, **sections)
    run = subprocess.run(gateway.command, env=gateway.environment, capture_output=True, text=True, check=False,
                         timeout=patient(20))
    return run.returncode, run.stderr


# --- what it gives up -------------------------------------------------------------------------------


@test
def it_gains_no_privileges_dumps_no_core_makes_private_files_and_survives_a_broken_pipe():
    with Gateway([echo()]) as gateway:
        status = status_of(gateway.pid)
        equal(status["NoNewPrivs"], "1", "NoNewPrivs")
        equal(status["Umask"], "0077", "umask")
        equal(soft_core_limit(gateway.pid), 0, "core limit")
        ignored = int(status["SigIgn"], 16)
        check(ignored >> (signal.SIGPIPE - 1) & 1, f"SIGPIPE is ignored: {status['SigIgn']}")
        for task in os.listdir(f"/proc/{gateway.pid}/task"):
            equal(status_of(f"{gateway.pid}/task/{task}")["NoNewPrivs"], "1", f"NoNewPrivs of thread {task}")


@test
def a_worker_starts_with_its_own_four_descriptors_no_core_and_no_new_privileges():
    worker = f"{build.folder}/poolgate-worker --pool sh --slot 0 --parent $PPID --plugin {build.folder}/workers/echo.so"
    script = f"ls /proc/$$/fd; exec {worker}"
    shell = {"name": "sh", "worker": {"command": ["sh", "-c", script]}, "slots": {"min": 1, "max": 1},
             "env": {"pass": ["PATH"]}}
    # Clients are connected and one pool runs while the shell is started.
    with Gateway([echo(), shell], wait="listening") as gateway:
        held = [gateway.connect() for _ in range(5)]
        eventually(lambda: gateway.get("/startupz").status == 200, within=15, about="both pools have started")
        seen = [line["text"] for line in gateway.events("worker") if line["slot"] == "sh/0"]
        equal(seen, ["0", "1", "2", "3"], "descriptors of a worker as it starts")
        for pool in ("echo", "sh"):
            pid = gateway.slot(pool)["pid"]
            status = status_of(pid)
            equal((status["NoNewPrivs"], status["Umask"]), ("1", "0077"), f"NoNewPrivs and umask of {pool}")
            equal(resource.prlimit(pid, resource.RLIMIT_CORE), (0, 0), f"core limit of {pool}")
        for connection in held:
            connection.close()


# --- who it may be ----------------------------------------------------------------------------------


@test
def root_is_refused_on_a_public_address_and_told_what_is_allowed():
    need_root()
    code, text = refusal(**PUBLIC)
    equal(code, 2, f"exit code ({text})")
    check(re.search(r"http\.listen: 0\.0\.0\.0:0 .*root.*allowed is process\.user.*process\.allow_root", text), text)


@test
def root_serves_a_public_address_when_it_is_told_to_and_warns():
    need_root()
    with Gateway([echo()], process={"allow_root": True}, **PUBLIC) as gateway:
        equal(gateway.post("echo", b"x").body, b"x", "body")
        equal(len(gateway.events("runs as root")), 1, "warnings")


@test
def root_serves_loopback_with_one_warning():
    need_root()
    with Gateway([echo()]) as gateway:
        equal(len(gateway.events("runs as root")), 1, "warnings")


def free_low_port():
    for port in range(1023, 600, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    skip("no port below 1024 is free")


def check_powerless(where, path):
    status = status_of(path)
    equal(status["Uid"].split(), ["65534"] * 4, f"user of {where}")
    equal(status["Gid"].split(), ["65534"] * 4, f"group of {where}")
    equal(status["Groups"].strip(), "", f"groups of {where}")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        equal(int(status[kind], 16), 0, f"{kind} of {where}")


@test
def it_binds_as_root_and_serves_as_somebody_else_without_a_capability():
    need_root()
    port = free_low_port()
    with Gateway([echo(slots=2)], process={"user": NOBODY}, http={"listen": f"127.0.0.1:{port}"}) as gateway:
        equal(gateway.port, port, "port")
        for task in os.listdir(f"/proc/{gateway.pid}/task"):
            check_powerless(f"thread {task}", f"{gateway.pid}/task/{task}")
        for slot in gateway.slots("echo"):
            check_powerless(f"worker {slot['id']}", slot["pid"])
        equal(os.stat(f"/proc/{gateway.pid}/mem").st_uid, 0, "owner of its memory, which it is not dumpable by")
        equal(gateway.events("runs as root"), [], "warnings")
        equal(gateway.post("echo", b"x" * 100_000).body, b"x" * 100_000, "body")


@test
def keys_that_only_root_may_read_are_read_before_it_becomes_somebody_else():
    need_root()
    with Papers() as papers:
        keys = papers.folder / "keys.json"
        command = [str(build.program), "key", "add", "ci", "--tenant", "test", "--scope", "invoke,read,admin", "--file",
                   str(keys)]
        token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        gateway = SecureGateway([echo()], papers, process={"user": NOBODY}, auth={"keys_file": str(keys)}, key=token,
                                conserve=False)
        for secret in (keys, gateway.key_file):
            equal((secret.stat().st_uid, stat.S_IMODE(secret.stat().st_mode)), (0, 0o600), f"owner and mode of {secret}")
        with gateway:
            check_powerless("the gateway", gateway.pid)
            equal(gateway.post("echo", b"x").body, b"x", "body, with a key, over TLS")
            equal([line["frontend"] for line in gateway.events("certificate")], ["http", "grpc"], "what the log says")
            time.sleep(1.5)
            equal(gateway.events("certificate refused") + gateway.events("keys_refused"), [], "what it may not look at")
            gateway.signal(signal.SIGHUP)
            eventually(lambda: gateway.events("certificate refused"), within=5, about="it may not read them again")
            equal(gateway.post("echo", b"x").body, b"x", "body, with what was read at the start")


@test
def as_somebody_else_it_still_measures_its_workers_and_starts_new_ones():
    need_root()
    with Gateway([echo()], process={"user": NOBODY}) as gateway:
        eventually(lambda: gateway.slot("echo")["resident_bytes"] > 0, within=15, about="the worker is measured")
        pid = gateway.slot("echo")["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gateway.slot("echo")["pid"] not in (0, pid) and gateway.slot("echo")["state"] in ("ready", "idle"),
                   within=10, about="another worker")
        check_powerless("the new worker", gateway.slot("echo")["pid"])
        equal(gateway.post("echo", b"x").body, b"x", "body")


@test
def a_user_that_is_not_there_or_cannot_be_taken_on_is_told():
    need_root()
    code, text = refusal(process={"user": "no-such-user"})
    equal(code, 2, f"exit code ({text})")
    check("process.user: there is no user no-such-user" in text and "UID:GID" in text, text)
    for root in ("root", "0:0"):
        code, text = refusal(process={"user": root}, **PUBLIC)
        equal(code, 2, f"exit code ({text})")
        check(f"process.user: {root} is root, allowed is another user" in text, text)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        arguments = ["serve", "--set", "http.listen=127.0.0.1:0", "--set", "process.user=1:1"]
        run = subprocess.run([*nobody, str(build.program), *arguments], cwd=folder, capture_output=True, text=True,
                             check=False, timeout=patient(20))
    equal(run.returncode, 2, f"exit code ({run.stderr})")
    check("process.user: only root can become 1:1" in run.stderr, run.stderr)


# --- what the service manager hears -----------------------------------------------------------------


@contextmanager
def listener():
    """A service manager's ear: (its socket, a function that gives what was said so far)."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        path = f"{folder}/notify"
        ear.bind(path)
        ear.setblocking(False)
        said = []

        def heard():
            try:
                while True:
                    said.append(ear.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return said

        yield path, heard


def assignments(said, name):
    return [line for message in said for line in message if line.startswith(name + "=")]


@test
def it_says_ready_reloading_ready_and_stopping_in_this_order():
    with listener() as (path, heard):
        with Gateway([echo(args={"load_ms": 0})], environment={"NOTIFY_SOCKET": path}) as gateway:
            eventually(lambda: assignments(heard(), "READY"), about="READY=1")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            gateway.signal(signal.SIGHUP)
            eventually(lambda: len(assignments(heard(), "READY")) == 2, about="READY=1 after the reload")
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            check(b"NOTIFY_SOCKET" not in Path(f"/proc/{gateway.slot('echo')['pid']}/environ").read_bytes(),
                  "a worker does not know the socket")
        order = [message[0] for message in heard() if not message[0].startswith(("STATUS", "WATCHDOG"))]
        equal(order, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], "what was said")
        moment = int(assignments(heard(), "MONOTONIC_USEC")[0].split("=")[1])
        check(before <= moment <= after, f"the reload's moment: {before} <= {moment} <= {after}")
        check(all(assignments([message], "STATUS") for message in heard()), f"each has a STATUS: {heard()}")


@test
def it_is_not_ready_before_its_pools_have_started_nor_after_a_signal():
    slow = echo(args={"load_ms": 60_000}, timeouts={"load": "120s"})
    with listener() as (path, heard):
        with Gateway([slow], wait="listening", environment={"NOTIFY_SOCKET": path}, conserve=False) as gateway:
            time.sleep(0.5)
            equal(gateway.get("/startupz").status, 503, "/startupz")
            equal(assignments(heard(), "READY"), [], "READY before the start")
        equal(assignments(heard(), "READY"), [], "READY at all")
        equal(assignments(heard(), "STOPPING"), ["STOPPING=1"], "STOPPING")


@test
def it_gives_signs_of_life_twice_in_the_watchdogs_time_from_an_abstract_socket_as_well():
    name = f"poolgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        ear.settimeout(patient(5))
        with Gateway([echo()], environment={"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "400000"}):
            times = []
            while len(times) < 8:
                if ear.recv(4096) == b"WATCHDOG=1":
                    times.append(time.monotonic())
        # The first ones lay there before anybody read.
        mean = (times[-1] - times[2]) / 5
        between(0.15, mean, patient(0.4), f"seconds between signs of life {times}")


# --- sockets that are handed over -------------------------------------------------------------------

# Becomes the gateway, with its descriptors moved to 3, 4, … and described as systemd does.
HAND_OVER = """
import os, sys
names, fds = sys.argv[1], [int(word) for word in sys.argv[2].split(",")]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


def handing_over(names, *sockets):
    fds = [one.fileno() for one in sockets]
    return {"prefix": [sys.executable, "-c", HAND_OVER, names, ",".join(map(str, fds))], "pass_fds": fds}


def listening(address="127.0.0.1"):
    one = socket.socket()
    one.bind((address, 0))
    one.listen(16)
    return one


@test
def sockets_that_are_handed_over_are_served_instead_of_the_configured_addresses():
    with listening() as http, listening() as grpc:
        with Gateway([echo()], **handing_over("grpc:http", grpc, http)) as gateway:
            [line] = gateway.events("listening")
            equal(line["http"], f"127.0.0.1:{http.getsockname()[1]}", "HTTP address")
            equal(line["grpc"], f"127.0.0.1:{grpc.getsockname()[1]}", "gRPC address")
            equal(gateway.post("echo", b"x").body, b"x", "body")
            environment = Path(f"/proc/{gateway.slot('echo')['pid']}/environ").read_bytes()
            check(b"LISTEN_" not in environment, "a worker does not know of them")


@test
def a_port_that_is_dead_ends_livez_and_the_signs_of_life():
    with listener() as (path, heard), listening() as http, listening() as grpc:
        environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
        with Gateway([echo()], environment=environment, conserve=False, **handing_over("http:grpc", http, grpc)) as gateway:
            eventually(lambda: len(assignments(heard(), "WATCHDOG")) > 1, within=5, about="signs of life")
            grpc.shutdown(socket.SHUT_RDWR)  # it is the gateway's as well: nobody listens there now
            eventually(lambda: gateway.get("/livez").status == 503, within=25, about="/livez is 503", every=0.2)
            check("grpc" in gateway.get("/livez").body.decode(), "it names the port")
            equal([line["port"] for line in gateway.events("port does not answer")], ["grpc"], "the log")
            time.sleep(0.2)
            before = len(assignments(heard(), "WATCHDOG"))
            time.sleep(3)
            equal(len(assignments(heard(), "WATCHDOG")), before, "signs of life of a gateway with a dead port")
            equal(gateway.post("echo", b"x").body, b"x", "the other port still serves")


@test
def a_client_that_comes_between_two_gateways_is_answered_by_the_second():
    with listening() as http, listening() as grpc:
        handed = handing_over("http:grpc", http, grpc)
        with Gateway([echo()], **handed) as gateway:
            equal(gateway.post("echo", b"first").body, b"first", "body")
        with socket.create_connection(http.getsockname()[:2], timeout=patient(20)) as client:
            client.sendall(request_bytes("POST", "/v1/pools/echo/invoke", b"between"))
            with Gateway([echo()], **handed) as gateway:
                gateway.sent += 1
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
                check(answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"between"), f"answer: {answer!r}")


@test
def a_public_socket_that_is_handed_over_is_judged_as_a_public_address():
    with listening("0.0.0.0") as http:
        gateway = Gateway([echo()], **handing_over("http", http))
        run = subprocess.run(gateway.command, env=gateway.environment, pass_fds=gateway.pass_fds, text=True,
                             capture_output=True, check=False, timeout=patient(20))
    equal(run.returncode, 2, f"exit code ({run.stderr})")
    check("http.listen: 0.0.0.0:" in run.stderr and "nobody would be asked for a key" in run.stderr, run.stderr)


@test
def a_socket_without_a_name_or_that_is_none_is_refused():
    with listening() as one, tempfile.TemporaryFile() as file:
        for names, what, words in (("poolgate.socket", one, "allowed are http, grpc and admin"), ("", one, "no name"),
                                   ("http", file, "not a listening TCP socket")):
            gateway = Gateway([echo()], **handing_over(names, what))
            run = subprocess.run(gateway.command, env=gateway.environment, pass_fds=gateway.pass_fds, text=True,
                                 capture_output=True, check=False, timeout=patient(20))
            equal(run.returncode, 1, f"exit code for {names!r} ({run.stderr})")
            check(words in run.stderr, run.stderr)


@test
def sockets_that_are_meant_for_another_process_are_left_alone():
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:grpc"}
    with Gateway([echo()], environment=environment) as gateway:
        equal(gateway.post("echo", b"x").body, b"x", "body")


main(__doc__)
