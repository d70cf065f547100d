#!/usr/bin/env python3
"""systemd: the units are sound, their sandbox is tight, and the gateway needs nothing that it forbids"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway import Gateway, echo
from support import ROOT, build, check, equal, eventually, main, patient, skip, test

UNITS = ROOT / "docker" / "systemd"
MOST_EXPOSED = 2.5


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            skip(f"there is no {program} (scripts/deps lint test)")


def analyze(*arguments, folder=None):
    run = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, cwd=folder, check=False,
                         timeout=patient(60))
    return run.returncode, run.stdout + run.stderr


def options(name):
    """Every Name=value of the service, in order."""
    text = (UNITS / name).read_text()
    return re.findall(r"^([A-Za-z]+)=(.*)$", text, re.M)


@test
def the_units_are_understood_without_a_word():
    need("systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS.iterdir():
            text = unit.read_text().replace("/usr/bin/poolgate", str(build.program))
            Path(folder, unit.name).write_text(text)
        code, said = analyze("verify", "--man=no", *sorted(path.name for path in Path(folder).iterdir()), folder=folder)
    ours = [line for line in said.splitlines() if "poolgate" in line]
    equal((code, ours), (0, []), "exit code and remarks")


@test
def the_sandbox_leaves_less_exposed_than_promised():
    need("systemd-analyze")
    code, said = analyze("security", "--offline=true", str(UNITS / "poolgate.service"))
    equal(code, 0, f"exit code ({said[-300:]})")
    level = float(re.search(r"exposure level for poolgate\.service: ([0-9.]+)", said).group(1))
    print(f"       exposure: {level}, at most {MOST_EXPOSED}")
    check(level <= MOST_EXPOSED, f"exposure: {level}, at most {MOST_EXPOSED}")


@test
def the_times_of_the_service_fit_those_of_the_gateway():
    times = dict(options("poolgate.service"))
    seconds = {name: int(re.fullmatch(r"(\d+)s", times[name]).group(1)) for name in ("TimeoutStopSec", "WatchdogSec")}
    drain = 25  # drain.timeout
    check(seconds["TimeoutStopSec"] > drain + 10, f"TimeoutStopSec: {seconds}")
    check(seconds["WatchdogSec"] > 2 * (drain + 1), f"WatchdogSec: {seconds}")
    equal(times["KillMode"], "mixed", "KillMode")


def group_members(group):
    code, said = analyze("syscall-filter", group)
    equal(code, 0, f"systemd-analyze syscall-filter {group}: {said}")
    members = set()
    for word in re.findall(r"^    (\S+)$", said, re.M):
        if word.startswith("@"):
            members |= group_members(word)
        elif word != "#":
            members.add(word)
    return members


def allowed_calls():
    """As systemd reads SystemCallFilter=: the first line makes it a list of what is allowed."""
    allowed = group_members("@default")
    for name, value in options("poolgate.service"):
        if name != "SystemCallFilter":
            continue
        denied, words = value.startswith("~"), value.lstrip("~").split()
        for word in words:
            members = group_members(word) if word.startswith("@") else {word}
            allowed = allowed - members if denied else allowed | members
    return allowed


def traced_calls(pools, bodies):
    """The name of every system call of a gateway and its workers, from their first to their last."""
    with tempfile.NamedTemporaryFile("r") as file:
        # -D: strace is the child of the gateway and not the other way round.
        prefix = ["strace", "-D", "-f", "-qq", "-s", "0", "-o", file.name]
        with Gateway(pools, prefix=prefix) as gateway:
            for pool, body, headers in bodies:
                equal(gateway.post(pool, body, headers=headers).status, 200, f"status of {pool}")
            gateway.metrics()
        return set(re.findall(r"^\d+\s+(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", file.read(), re.M))


@test
def gateway_and_workers_make_no_system_call_that_the_service_forbids():
    need("systemd-analyze", "strace")
    page = (ROOT / "demo" / "page.png").read_bytes()
    pools = [echo(slots=1),
             {"name": "embed", "worker": {"plugin": "embed"}, "slots": {"min": 1, "max": 1}},
             {"name": "ocr", "worker": {"plugin": "ocr"}, "slots": {"min": 1, "max": 1}},
             {"name": "thread", "worker": {"plugin": "echo"}, "isolation": "thread", "slots": {"min": 1, "max": 1}}]
    bodies = [("echo", b"x" * 200_000, None), ("thread", b"x", None),
              ("embed", b'{"input": "hello"}', {"Content-Type": "application/json"}),
              ("ocr", page, {"Content-Type": "image/png"})]
    if build.sanitized:
        skip("sanitizers make system calls of their own")
    seen = traced_calls(pools, bodies)
    check(len(seen) > 40, f"too little was seen: {sorted(seen)}")
    # Asked for and not needed: the capabilities are none already.
    equal(sorted(seen - allowed_calls() - {"capset"}), [], "system calls that are forbidden")


# What of the service's sandbox can be had without systemd, then the gateway: other users' processes are invisible,
# nothing can be written, memory is never writable and executable, no capability, a user of its own.
SANDBOX = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result, what):
    if result != 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")
must(libc.unshare(0x00020000), "mount namespace")
must(libc.mount(b"none", b"/", None, 0x44000, None), "private mounts")                       # MS_REC | MS_PRIVATE
must(libc.mount(b"proc", b"/proc", b"proc", 0, b"hidepid=2"), "ProtectProc")
must(libc.mount(b"/", b"/", None, 0x1000, None), "bind")                                      # MS_BIND
os.chdir("/"); os.chroot("/")
must(libc.mount(None, b"/", None, 0x1021, None), "ProtectSystem")                             # MS_BIND|MS_REMOUNT|MS_RDONLY
try:
    os.close(os.open("/poolgate-must-not-be", os.O_CREAT | os.O_WRONLY))
    sys.exit("its root can be written")
except OSError as error:
    must(error.errno != 30, "its root is not read-only")                                      # EROFS
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
must(libc.prctl(38, 1, 0, 0, 0), "NoNewPrivileges")
if libc.prctl(65, 1, 0, 0, 0) != 0:                                                          # PR_SET_MDWE, Linux 6.3
    print("MemoryDenyWriteExecute cannot be tried here", file=sys.stderr)
os.execv(sys.argv[1], sys.argv[1:])
"""


@test
def it_serves_measures_and_replaces_workers_in_what_of_the_sandbox_can_be_had_here():
    if os.geteuid() != 0 or build.sanitized:
        skip("it takes root, and a build without sanitizers")
    pools = [echo(), {"name": "embed", "worker": {"plugin": "embed"}}, {"name": "ocr", "worker": {"plugin": "ocr"}}]
    gateway = Gateway(pools, prefix=[sys.executable, "-c", SANDBOX])
    os.chmod(gateway.folder, 0o755)
    with gateway:
        page = (ROOT / "demo" / "page.png").read_bytes()
        equal(gateway.post("ocr", page, headers={"Content-Type": "image/png"}).status, 200, "status of ocr")
        text = gateway.post("embed", b'{"input": "hello"}', headers={"Content-Type": "application/json"})
        equal(text.status, 200, "status of embed")
        equal(gateway.post("echo", b"x" * 200_000).status, 200, "status of echo")
        eventually(lambda: gateway.slot("echo")["resident_bytes"] > 0, within=15, about="the worker is measured")
        pid = gateway.slot("echo")["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gateway.slot("echo")["restarts"] == 1 and gateway.slot("echo")["state"] in ("ready", "idle"),
                   within=10, about="another worker")
        mounts = Path(f"/proc/{gateway.pid}/mountinfo").read_text()
        check("hidepid=" in mounts, "others' processes are invisible")
        numbers = gateway.json("/healthz")["memory"]
        check(numbers["used_bytes"] > 0 and numbers["limit_bytes"] > 0, f"memory is known: {numbers}")


main(__doc__)
