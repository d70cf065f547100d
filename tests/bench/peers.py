"""peers - what poolgate is measured beside: built into build/bench/, started from configurations written
there, on free ports of the loopback, and ended by process id.

    with Peers(build / "bench", ["http"]) as peers:
        peers.url("fastcgi")
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOTS = 4
ANSWER = b"0123456789abcdef"
PROGRAMS = {"fastcgi_echo": ["-lfcgi"], "mhd_floor": ["-lmicrohttpd", "-lpthread"],
            "grpc_echo": ["-lgrpc", "-lgpr", "-lpthread"]}
COMPILER = shlex.split(os.environ.get("CC", "gcc"))
FLAGS = ["-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]

# One nginx process: with two it is no faster beside the load generator. Endless
# keep-alive, no log, no files: nothing but the work that is compared.
NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
{user}events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream workers {{ server unix:{folder}/fastcgi.sock; }}
    upstream grpc_echo {{ server 127.0.0.1:{grpc_echo}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{static} backlog=1024;
        location / {{ return 200 "{answer}"; }}
    }}
    server {{
        listen 127.0.0.1:{fastcgi} backlog=1024;
        location / {{
            fastcgi_pass workers;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param SCRIPT_NAME $uri;
        }}
    }}
    server {{
        listen 127.0.0.1:{grpc} http2 backlog=1024;
        location / {{ grpc_pass grpc://grpc_echo; }}
    }}
}}
"""

# Two servers of maxconn 4: what four slots with one staged request each have in hand, and faster here
# than one server of 4. One thread: two are slower beside the load generator.
HAPROXY = """\
global
    nbthread 1
    maxconn 4000
defaults
    mode http
    option http-keep-alive
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout queue 30s
frontend door
    bind 127.0.0.1:{haproxy}
    default_backend pool
backend pool
    http-reuse always
    server first 127.0.0.1:{static} maxconn {slots}
    server second 127.0.0.1:{static} maxconn {slots}
"""


def free_ports(names):
    """A free port for each name. All are held until the last is known, so that they differ."""
    held = [socket.socket() for _ in names]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, held)}
    finally:
        for one in held:
            one.close()


def compile_programs(folder, names):
    """Compiles what is older than its source."""
    for name in names:
        source, program = HERE / f"{name}.c", folder / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run([*COMPILER, *FLAGS, "-o", program, source, *PROGRAMS[name]], check=True)


def program(name):
    """nginx and haproxy are in sbin, which an ordinary user's PATH may lack."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"bench: {name} is not installed (scripts/deps bench)")
    return found


class Peers:
    def __init__(self, folder, wanted):
        self.home, self.wanted = folder, wanted
        self.folder = folder / "run"
        self.ports = free_ports(["static", "fastcgi", "grpc", "grpc_echo", "haproxy", "direct", "resumed"])
        self.processes = []

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            compile_programs(self.home, [n for n in PROGRAMS if n != "grpc_echo" or "grpc" in self.wanted])
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        return False

    def start(self):
        # nginx gives its work to an account without rights when root starts it: it could not reach the socket.
        user = "user root;\n" if os.geteuid() == 0 else ""
        fields = dict(self.ports, folder=self.folder, user=user, slots=SLOTS, answer=ANSWER.decode())
        (self.folder / "nginx.conf").write_text(NGINX.format(**fields))
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(**fields))
        expected = ["static", "fastcgi", "haproxy", "direct", "resumed", "grpc"]
        self.run(self.home / "fastcgi_echo", self.folder / "fastcgi.sock", SLOTS)
        for kind in ("direct", "resumed"):
            self.run(self.home / "mhd_floor", self.ports[kind], kind)
        if "grpc" in self.wanted:
            self.run(self.home / "grpc_echo", self.ports["grpc_echo"], min(2, os.cpu_count() or 1))
            expected.append("grpc_echo")
        self.run(program("nginx"), "-p", self.folder, "-e", self.folder / "nginx.err",
                 "-c", self.folder / "nginx.conf")
        self.run(program("haproxy"), "-db", "-f", self.folder / "haproxy.cfg")
        for name in expected:
            self.until_open(name)

    def run(self, *command):
        with open(self.folder / "log", "ab") as log:
            self.processes.append(subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                                   stdout=log, stderr=log, cwd=self.folder))

    def until_open(self, name, within=10):
        end = time.monotonic() + within
        while True:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise SystemExit(f"bench: the peer {name} does not listen; see {self.folder}/log") from None
                time.sleep(0.02)

    def check_alive(self):
        for process in self.processes:
            if process.poll() is not None:
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"bench: {process.args[0]} ended with {process.returncode}\n{log}")

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def stop(self):
        """Last started first; SIGKILL for what has not left after three seconds."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
