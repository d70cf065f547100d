#!/usr/bin/env python3
"""TLS on both ports: who may shake hands, certificates that change under load, what is no TLS."""

import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from certificates import Papers, SecureGateway
from gateway import Gateway, echo, request_bytes, sanitizer_options
from grpc_node import NOT_FOUND, Node
from support import build, check, equal, eventually, main, patient, test

H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
GONE = (ssl.SSLError, ConnectionError, BrokenPipeError)


def poolgate(gateway, *arguments, me=None, data=b""):
    paper = ["--cert", me.cert, "--key", me.key] if me else []
    return subprocess.run([str(build.program), *arguments, "--ca", str(gateway.authority.cert), *map(str, paper)],
                          input=data, capture_output=True, timeout=patient(30), check=False,
                          env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **sanitizer_options()})


def seconds_until_closed(connection, within):
    """Reads to the end; (bytes that came, seconds)."""
    began, data = time.monotonic(), b""
    connection.settimeout(patient(within))
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data, time.monotonic() - began


def attempt(gateway, me=None, port=None, data=None, **more):
    """What a client that shakes hands and asks at once reads; None when it was refused. In TLS 1.3 a client learns
    of it only when it reads."""
    try:
        with gateway.secure(me, port=port, timeout=10, **more) as connection:
            connection.sendall(data or request_bytes("POST", "/v1/pools/echo/invoke", b"let me in"))
            return connection.recv(65536) or None
    except GONE:
        return None


def ended(gateway, frontend, reason):
    return gateway.metrics().sum("poolgate_edge_closed_total", frontend=frontend, reason=reason)


# --- both ports -----------------------------------------------------------------------------------


@test
def curl_is_served_over_1_2_and_1_3():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        gateway.url = f"https://localhost:{gateway.port}"
        for version, name in (("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")):
            gateway.sent += 1
            status, headers, body = gateway.curl(
                "/v1/pools/echo/invoke", "--cacert", str(gateway.authority.cert), f"--tlsv{version}",
                "--tls-max", version, "--data-binary", f"over {name}")
            equal((status, body), (200, f"over {name}".encode()), "status and body")
            check("x-request-id" in headers, "the headers are there")


@test
def a_large_body_goes_both_ways():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        body = os.urandom(20 << 20)
        reply = gateway.post("echo", body)
        equal(reply.status, 200, "status")
        check(reply.body == body, "the body is the same")


@test
def a_reader_that_dawdles_gets_every_byte():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        body = os.urandom(8 << 20)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(patient(30))
        plain.connect((gateway.host, gateway.port))
        with gateway.context().wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(gateway.raw_post("echo", body))
            answer = bytearray()
            while piece := connection.recv(7919):
                answer += piece
                if len(answer) % 16 == 0:
                    time.sleep(0.002)
        head, _, rest = bytes(answer).partition(b"\r\n\r\n")
        check(head.startswith(b"HTTP/1.1 200"), f"the status: {head[:60]}")
        check(rest == body, f"{len(rest)} of {len(body)} bytes came back as they were")


@test
def a_connection_is_kept_alive_and_ended_with_a_goodbye():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        with gateway.secure() as connection:
            for _ in range(3):
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(connection.recv(65536).startswith(b"HTTP/1.1 200"), "an answer")
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):  # raises where the end is cut
                answer += piece
            check(answer.startswith(b"HTTP/1.1 200"), f"the last answer: {answer[:100]}")


@test
def grpc_js_is_served_over_tls():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        with Node(gateway, tls=(gateway.authority.cert,)) as node:
            data, _ = node.echo(os.urandom(3 << 20))
            equal(len(data), 3 << 20, "bytes that came back")
            equal(node.invoke("nobody").status, NOT_FOUND, "status of a pool that is not there")
            equal(node.health().reply, "SERVING", "health")


@test
def our_own_commands_speak_tls():
    with Papers() as papers:
        clients = papers.authority("clients")
        me = clients.issue("me", names="DNS:me")
        with SecureGateway([echo()], papers, client_ca=clients.cert, me=me) as gateway:
            url = f"https://localhost:{gateway.port}"
            run = poolgate(gateway, "invoke", "echo", "--url", url, me=me, data=b"hello")
            equal((run.returncode, run.stdout), (0, b"hello"), f"invoke over HTTP ({run.stderr})")
            run = poolgate(gateway, "invoke", "echo", "--grpc", "--url", f"https://127.0.0.1:{gateway.grpc_port}",
                           me=me, data=b"hello")
            equal((run.returncode, run.stdout), (0, b"hello"), f"invoke over gRPC ({run.stderr})")
            gateway.sent += 2
            run = poolgate(gateway, "status", "--url", url, me=me)
            check(run.returncode == 0 and b"echo/0" in run.stdout, f"status: {run.stdout} {run.stderr}")
            check(poolgate(gateway, "status", "--url", url).returncode != 0, "status without a certificate is refused")


@test
def protocols_that_are_offered_must_be_ours():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        grpc = gateway.grpc_port
        equal(gateway.secure(protocols=["h2", "http/1.1"]).selected_alpn_protocol(), "http/1.1", "HTTP")
        equal(gateway.secure(port=grpc, protocols=["http/1.1", "h2"]).selected_alpn_protocol(), "h2", "gRPC")
        equal(attempt(gateway, protocols=["h2"]), None, "h2 alone at the HTTP port")
        equal(attempt(gateway, port=grpc, protocols=["http/1.1"]), None, "http/1.1 alone at the gRPC port")
        eventually(lambda: ended(gateway, "http", "tls_protocol") == 1, about="HTTP has counted it")
        eventually(lambda: ended(gateway, "grpc", "tls_protocol") == 1, about="gRPC has counted it")


# --- what is refused ------------------------------------------------------------------------------


@test
def a_proxy_names_its_client_before_the_handshake():
    with Papers() as papers:
        http = {"trusted_proxies": ["127.0.0.1"], "max_per_address": 1, "header_timeout": "1s"}
        with SecureGateway([echo()], papers, http=http, conserve=False) as gateway:
            def through(source, pause=0.0, header=None):
                plain = gateway.plain(timeout=5)
                plain.sendall(header or f"PROXY TCP4 {source} 127.0.0.1 4711 443\r\n".encode())
                time.sleep(pause)
                return gateway.context().wrap_socket(plain, server_hostname="localhost")

            held = through("203.0.113.9")
            held.sendall(request_bytes("GET", "/livez", headers={"Connection": None}))
            check(held.recv(4096).startswith(b"HTTP/1.1 200"), "served")
            try:
                through("203.0.113.9")
                check(False, "the second of that client shakes no hands")
            except GONE:
                equal(ended(gateway, "http", "address_full"), 1, "counted")
            late = through("203.0.113.10", pause=0.2)
            late.sendall(request_bytes("GET", "/livez"))
            check(late.recv(4096).startswith(b"HTTP/1.1 200"), "a hello that comes later")
            slow = gateway.plain(timeout=5)
            for byte in b"PROXY TCP4 20":
                slow.sendall(bytes([byte]))
            check(seconds_until_closed(slow, 5)[1] < patient(2), "half a header has its time, and no more")
            equal(gateway.get("/livez").status, 200, "the proxy for itself")


@test
def our_own_dials_are_neither_counted_nor_told():
    with Papers() as papers, SecureGateway([echo()], papers, conserve=False) as gateway:
        time.sleep(6)
        equal(gateway.events("connection ended") + gateway.events("port does not answer"), [], "the log")
        equal(int(gateway.metrics().sum("poolgate_edge_closed_total")), 0, "ended connections")
        equal(gateway.get("/livez").status, 200, "/livez")


@test
def old_versions_and_weak_suites_are_refused():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        for port in (gateway.port, gateway.grpc_port):
            for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                context = gateway.context(version=version)
                context.set_ciphers("ALL:@SECLEVEL=0")
                try:
                    context.wrap_socket(gateway.plain(port), server_hostname="localhost")
                    check(False, f"{version} is refused")
                except GONE:
                    pass
            for suites in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "aNULL", "PSK", "3DES"):
                context = gateway.context(version=ssl.TLSVersion.TLSv1_2)
                try:
                    context.set_ciphers(suites + ":@SECLEVEL=0")
                    context.wrap_socket(gateway.plain(port), server_hostname="localhost")
                    check(False, f"{suites} is refused")
                except GONE:
                    pass


@test
def a_wish_to_renegotiate_ends_the_connection():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{gateway.port}"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(patient(0.5))
        client.stdin.write(b"R\n")
        client.stdin.flush()
        eventually(lambda: ended(gateway, "http", "tls_renegotiation") == 1, about="it is counted")
        client.wait(timeout=patient(10))
        client.stdin.close()


@test
def plain_text_at_a_tls_port_is_ended_at_once():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        for frontend, port, data in (("http", gateway.port, request_bytes("GET", "/livez")),
                                     ("grpc", gateway.grpc_port, H2_PREFACE)):
            connection = gateway.plain(port)
            connection.sendall(data)
            answer, seconds = seconds_until_closed(connection, within=10)
            check(b"HTTP" not in answer, f"nothing of the application: {answer}")
            check(seconds < patient(2), f"closed after {seconds:.1f} s")
            eventually(lambda: ended(gateway, frontend, "tls_plain") == 1, about=f"{frontend} has counted it")


@test
def silence_and_half_a_hello_last_no_longer_than_a_header():
    with Papers() as papers, SecureGateway([echo()], papers, http={"header_timeout": "1s"}) as gateway:
        probe = gateway.plain()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        probe.close()
        began, waiting = time.monotonic(), []
        for port in (gateway.port, gateway.grpc_port):
            for data in (b"", hello[:1], hello[:50], hello):  # the last one never answers the server's part
                waiting.append((gateway.plain(port), data))
                waiting[-1][0].sendall(data)
        for connection, data in waiting:
            seconds_until_closed(connection, within=10)
            seconds = time.monotonic() - began
            check(0.5 < seconds < patient(3), f"{len(data)} bytes of a hello: closed after {seconds:.1f} s")
        equal(gateway.get("/livez").status, 200, "it serves")


@test
def a_hello_at_plain_ports_is_ended():
    with Gateway([echo()], http={"header_timeout": "1s"}) as gateway:
        grpc = int(gateway.events("listening")[0]["grpc"].rsplit(":", 1)[1])
        for port in (gateway.port, grpc):
            began = time.monotonic()
            try:
                context = ssl.create_default_context()
                context.wrap_socket(socket.create_connection((gateway.host, port), timeout=patient(10)),
                                    server_hostname="localhost")
                check(False, "no handshake")
            except GONE:
                check(time.monotonic() - began < patient(3), f"ended after {time.monotonic() - began:.1f} s")


@test
def a_reset_in_the_middle_of_everything_leaves_nothing_behind():
    with Papers() as papers, SecureGateway([echo(args={"delay_ms": 50})], papers) as gateway:
        before = gateway.descriptors()
        for turn in range(60):
            connection = gateway.plain()
            if turn % 3:
                connection = gateway.context().wrap_socket(connection, server_hostname="localhost")
                if turn % 3 == 2:
                    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        eventually(lambda: gateway.metrics().sum("poolgate_connections", frontend="http") <= 1, about="all are gone")
        eventually(lambda: gateway.descriptors() <= before + 2, about="no descriptor is left")


# --- certificates of clients ----------------------------------------------------------------------


@test
def only_a_client_with_the_right_certificate_gets_a_byte_through():
    with Papers() as papers:
        clients, strangers = papers.authority("clients"), papers.authority("clients")
        right = clients.issue("right", names="URI:spiffe://test/right,DNS:right.example")
        ca = papers.folder / "clients.pem"
        revoked = clients.issue("revoked", names="DNS:right.example")
        ca.write_text(clients.cert.read_text() + clients.revocations(revoked))
        wrong = {
            "none": None,
            "expired": clients.issue("late", names="DNS:right.example", starts=-3, ends=-1),
            "not valid yet": clients.issue("early", names="DNS:right.example", starts=1, ends=2),
            "another authority of the same name": strangers.issue("right", names="DNS:right.example"),
            "another name": clients.issue("wrong", names="DNS:right.example.org,URI:spiffe://test/right/2"),
            "the name as common name only": clients.issue("right.example"),
            "revoked": revoked,
        }
        names = ["right.example", "spiffe://test/right"]
        with SecureGateway([echo()], papers, client_ca=ca, client_names=names, me=right) as gateway:
            grpc = gateway.grpc_port
            equal(gateway.post("echo", b"in").status, 200, "the right one, HTTP")
            with Node(gateway, tls=(gateway.authority.cert, right.cert, right.key)) as node:
                equal(node.echo(b"in")[0], b"in", "the right one, gRPC")
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for what, paper in wrong.items():
                    equal(attempt(gateway, paper, version=version), None, f"HTTP with {what}")
                    equal(attempt(gateway, paper, port=grpc, data=H2_PREFACE, version=version, protocols=["h2"]), None,
                          f"gRPC with {what}")
            for frontend in ("http", "grpc"):
                eventually(lambda: ended(gateway, frontend, "tls_certificate") == 2 * len(wrong),
                           about=f"{frontend} has counted {2 * len(wrong)}")
            gateway.served("echo", 2)


# --- new certificates -----------------------------------------------------------------------------


class Handshakes:
    """Shakes hands again and again on its own threads; counts, and remembers when a serial was first seen."""

    def __init__(self, gateway, port, threads=2):
        self.gateway, self.port, self.done, self.failed = gateway, port, 0, []
        self.seen, self.over = {}, threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        context = self.gateway.context(protocols=["http/1.1"] if self.port == self.gateway.port else ["h2"])
        while not self.over.is_set():
            try:
                with context.wrap_socket(self.gateway.plain(self.port), server_hostname="localhost") as connection:
                    serial = connection.getpeercert()["serialNumber"]
                self.seen.setdefault(serial, time.monotonic())
                self.done += 1
            except OSError as error:
                self.failed.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


@test
def a_new_certificate_is_shown_within_two_seconds_and_no_handshake_fails():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        old = gateway.secure()
        with Handshakes(gateway, gateway.port) as http, Handshakes(gateway, gateway.grpc_port) as grpc:
            for turn in range(3):
                new = gateway.authority.issue("localhost", names="DNS:localhost,IP:127.0.0.1")
                began = time.monotonic()
                gateway.show(new)
                for load in (http, grpc):
                    seen = eventually(lambda: load.seen.get(new.serial), within=5, about=f"serial {new.serial}")
                    check(seen - began < patient(2), f"shown after {seen - began:.2f} s in turn {turn}")
        for load in (http, grpc):
            equal(load.failed, [], f"failed handshakes of {load.done}")
            check(load.done > 50, f"{load.done} handshakes")
        old.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        check(old.recv(65536).startswith(b"HTTP/1.1 200"), "an old connection lives on")
        line = gateway.events("certificate read again")[-1]
        equal((line["serial"], line["subject"]), (new.serial, "CN=localhost"), "the log")
        expiry = gateway.metrics().sum("poolgate_tls_certificate_expiry_seconds", frontend="http")
        check(0 < expiry - time.time() < 2 * 86400, f"when it ends: {expiry}")


@test
def a_broken_file_keeps_the_old_certificate_and_says_so():
    with Papers() as papers, SecureGateway([echo()], papers) as gateway:
        def serial():
            with gateway.secure() as connection:
                return connection.getpeercert()["serialNumber"]

        def failures():
            return gateway.metrics().sum("poolgate_tls_reload_failures_total", frontend="http")

        first = serial()
        other = gateway.authority.issue("localhost", names="DNS:localhost,IP:127.0.0.1")
        late = gateway.authority.issue("localhost", names="DNS:localhost", starts=-3, ends=-1)
        broken = [("no certificate", b"nonsense", gateway.key_file.read_bytes()),
                  ("does not belong", other.cert.read_bytes(), gateway.key_file.read_bytes()),
                  ("is expired", late.cert.read_bytes(), late.key.read_bytes())]
        for count, (why, cert, key) in enumerate(broken, 1):
            gateway.put(cert, key)
            eventually(lambda: failures() == count, within=5, about=f"the reload with {why} has failed")
            check(why in gateway.events("certificate refused")[-1]["text"], f"the log says {why}")
            equal(serial(), first, "what is shown")
        lines = len(gateway.events("certificate refused"))
        gateway.signal(signal.SIGHUP)  # asks for it although nothing changed
        eventually(lambda: len(gateway.events("certificate refused")) >= lines + 2, about="SIGHUP reads both again")
        eventually(lambda: gateway.events("reloaded"), about="the configuration is taken all the same")
        gateway.show(other)
        eventually(lambda: serial() == other.serial, within=5, about="the new one")


@test
def a_start_with_files_that_cannot_be_used_says_which():
    with Papers() as papers:
        authority = papers.authority("servers")
        good, other = authority.issue("a"), authority.issue("b")
        key = papers.folder / "open.pem"
        key.write_bytes(good.key.read_bytes())
        key.chmod(0o644)
        cases = [(good.cert, other.key, "http.tls.key", "does not belong"),
                 (papers.folder / "nowhere", good.key, "http.tls.cert", "No such file"),
                 (good.cert, key, "http.tls.key", "can read the key")]
        for cert, secret, name, why in cases:
            file = papers.folder / "poolgate.yaml"
            file.write_text("pools: [{name: echo, worker: {plugin: echo}}]\nhttp:\n"
                            f"  listen: 127.0.0.1:0\n  tls:\n    cert: {cert}\n    key: {secret}\n")
            line = 5 if name.endswith("cert") else 6
            for command in ("check", "serve"):
                run = subprocess.run([str(build.program), command, "--config", str(file)], capture_output=True,
                                     text=True, timeout=patient(20), check=False)
                equal(run.returncode, 2, f"exit code of {command} ({run.stderr})")
                told = [text for text in run.stderr.splitlines() if text.startswith(f"{file}:{line}: {name}: ")]
                check(len(told) == 1 and why in told[0], run.stderr)


main(__doc__)
