#!/usr/bin/env python3
"""python worker: any language speaks the protocol, `command:` starts it"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from gateway import SERVING, Gateway
from support import ROOT, check, equal, eventually, main, skip, test


def python_with_protobuf():
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3")):
        probe = [python, "-c", "import google.protobuf"]
        if os.path.exists(python) and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return python
    return None


@contextmanager
def gateway_with_python(slots=1, **more):
    """A gateway whose workers are python_worker.py, with the envelopes generated for this run."""
    python = python_with_protobuf()
    if python is None:
        skip("python3-protobuf is not installed")
    if shutil.which("protoc") is None:
        skip("protoc is not installed")
    with tempfile.TemporaryDirectory(prefix="poolgate-python-") as folder:
        protoc = ["protoc", f"--proto_path={ROOT / 'protos'}", f"--python_out={folder}", "worker.proto"]
        subprocess.run(protoc, check=True)
        script = Path(__file__).with_name("python_worker.py")
        pool = {"name": "python", "worker": {"command": [python, str(script), folder]},
                "slots": {"min": slots, "max": slots}, **more}
        with Gateway([pool]) as gateway:
            yield gateway


@test
def a_python_worker_answers_through_the_gateway():
    with gateway_with_python() as gateway:
        reply = gateway.post("python", b"stressed", headers={"Content-Type": "text/plain"})
        equal((reply.status, reply.body), (200, b"desserts"), "reply")
        equal(reply.headers["Content-Type"], "text/plain", "content type")
        equal(reply.headers["Poolgate-Meta-language"], "python", "metadata")
        check("loading for python/0" in gateway.log_text(), "its stderr is in the log")


@test
def its_bodies_come_and_go_through_the_stream_at_every_size():
    with gateway_with_python() as gateway:
        for size in (0, 1, 255 << 10, 256 << 10, 257 << 10, 5 << 20):
            data = os.urandom(size)
            check(gateway.post("python", data).body == data[::-1], f"{size} bytes reversed")


@test
def its_chunks_are_put_together_and_its_errors_told():
    with gateway_with_python() as gateway:
        equal(gateway.post("python", b"0123456789", "chunks").body, b"9876543210", "a reply in pieces")
        failed = gateway.post("python", b"x", "fail")
        equal((failed.status, failed.code, failed.json()["source"]), (500, "worker_error", "worker"), "error")
        check("python failed as asked" in failed.json()["detail"], "its own words")
        equal(gateway.post("python", b"x", "dance").code, "unsupported_media_type", "an unknown operation")


@test
def it_answers_pings_and_is_replaced_when_killed():
    with gateway_with_python(slots=2, health={"interval": "100ms", "timeout": "5s", "misses": 3}) as gateway:
        old = gateway.slot("python")["pid"]
        os.kill(old, signal.SIGKILL)
        eventually(lambda: (slot := gateway.slot("python"))["pid"] not in (old, 0, None) and slot["state"] in SERVING,
                   about="the slot serves again")
        equal(gateway.slot("python", 1)["restarts"], 0, "the other slot's restarts")
        equal(gateway.post("python", b"ab").body, b"ba", "reply")


@test
def a_command_that_does_not_exist_is_told_as_such():
    pool = {"name": "ghost", "worker": {"command": ["/no/such/program"]}, "slots": {"min": 0, "max": 1}}
    with Gateway([pool]) as gateway:
        reply = gateway.post("ghost", b"x")
        equal((reply.status, reply.code), (503, "spawn_failed"), "answer")


@test
def a_program_that_does_not_speak_the_protocol_never_becomes_ready():
    pool = {"name": "cat", "worker": {"command": ["/bin/sh", "-c", "echo these words are not a frame >&3; sleep 60"]},
            "slots": {"min": 0, "max": 1}}
    with Gateway([pool]) as gateway:
        reply = gateway.post("cat", b"x")
        equal((reply.status, reply.code), (503, "spawn_failed"), "answer")


main(__doc__)
