#!/usr/bin/env python3
"""edge: strangers at both doors: who breaks the rules, who is too slow, who comes too often, who comes through a proxy"""

import os
import socket
import struct
import threading
import time

from gateway import Gateway, echo, parse_reply, request_bytes, reset
from grpc_node import Node
from h2 import CANCEL, END_HEADERS, HEADERS, RST_STREAM, Http2, literal
from leaving import finish, half_close, queued_request_never_runs, running_request_is_cancelled
from support import build, check, equal, eventually, in_time, main, patient, test

STRICT = {"guard": "strict"}
HIDDEN = b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhidden"


def read_to_end(connection, within=10.0):
    connection.settimeout(patient(within))
    data = b""
    try:
        while piece := connection.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


def closed(gateway, reason, frontend="http"):
    return int(gateway.metrics().sum("poolgate_edge_closed_total", frontend=frontend, reason=reason))


def grpc_socket(gateway, receive_bytes=None):
    host, port = gateway.events("listening")[0]["grpc"].rsplit(":", 1)
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(patient(20))
    connection.connect((host, int(port)))
    return connection


# --- strict ---------------------------------------------------------------------------------------


@test
def a_request_that_has_two_meanings_is_refused_and_what_it_hides_never_runs():
    head = b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\n"
    flawed = {
        "framing": [head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    head + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
                    head + b"Content-Length: +0\r\n\r\n"],
        "field": [head + b"X-A: one\r\n two\r\nContent-Length: 0\r\n\r\n",
                  head + b"Content-Length : 0\r\n\r\n",
                  head + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
                  head + b": v\r\nContent-Length: 0\r\n\r\n"],
        "newline": [head + b"X-A: a\nContent-Length: 0\r\n\r\n"],
        "chunk": [head + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"],
        "line": [b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"],
    }
    with Gateway([echo()], http=STRICT, conserve=False) as gateway:
        for kind, requests in flawed.items():
            for number, request in enumerate(requests):
                connection = gateway.send(request + HIDDEN)
                reply = parse_reply(read_to_end(connection))
                connection.close()
                equal(reply.status, 400, f"status of {kind} {number}")
                equal(reply.headers["Content-Type"], "application/problem+json", f"type of {kind} {number}")
                equal(reply.json()["code"], "invalid_request", f"code of {kind} {number}")
                check(len(reply.json()["detail"]) > 10, f"a sentence: {reply.body}")
            equal(closed(gateway, f"http_{kind}"), len(requests), f"counted as {kind}")
        gateway.served("echo", 0)
        equal(gateway.post("echo", b"next").body, b"next", "an honest request")


@test
def limits_are_told_alike_by_both_guards():
    post, fields = b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\n", b"X: a\r\n"
    cases = {b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + fields * 98 + b"Connection: close\r\n\r\n": (200, None),
             b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + fields * 100 + b"\r\n": (431, "headers_too_large"),
             b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 17000 + b"\r\n\r\n": (431, "headers_too_large"),
             b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": (414, "uri_too_long"),
             b"BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n": (501, "not_implemented"),
             b"B" * 40 + b" /livez HTTP/1.1\r\nHost: localhost\r\n\r\n": (501, "not_implemented"),
             b"CONNECT /livez HTTP/1.1\r\nHost: localhost\r\n\r\n": (400, "invalid_request"),
             post + b"Transfer-Encoding: gzip\r\n\r\n": (501, "not_implemented")}
    for guard in ("standard", "strict"):
        with Gateway([echo()], http={"guard": guard}, conserve=False) as gateway:
            for request, (status, code) in cases.items():
                reply = parse_reply(read_to_end(gateway.send(request)))
                told = (reply.status, reply.json().get("code"))
                equal(told, (status, code), f"{guard}: status and code of {request[:40]}... ({len(request)} bytes)")
            for large, status in ((b"GET /" + b"a" * 40000, 414), (b"GET / HTTP/1.1\r\nX: " + b"a" * 40000, 431)):
                equal(parse_reply(read_to_end(gateway.send(large))).status, status, f"{guard}: status of {large[:20]}...")


@test
def answers_that_are_owed_come_before_the_refusal():
    with Gateway([echo(slots=2)], http=STRICT, conserve=False) as gateway:
        first = request_bytes("POST", "/v1/pools/echo/invoke", b"first",
                              {"Connection": "keep-alive", "Poolgate-Operation": "delay:200"})
        connection = gateway.send(first + b"GET / HTTP/1.1\r\nBad Field: x\r\n\r\n" + HIDDEN)
        data = read_to_end(connection)
        check(data.startswith(b"HTTP/1.1 200"), f"{data[:100]}")
        check(b"first" in data and b"HTTP/1.1 400" in data, f"{data}")
        gateway.served("echo", 1)


@test
def a_slow_reader_gets_all_that_it_is_owed_before_the_refusal():
    with Gateway([echo()], http={"guard": "strict"}, conserve=False) as gateway:
        body = os.urandom(6 << 20)
        connection = gateway.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                           % len(body) + body + b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
            if len(answer) < 4 << 20:
                time.sleep(0.002)
        head, _, rest = bytes(answer).partition(b"\r\n\r\n")
        check(head.startswith(b"HTTP/1.1 200 ") and rest.startswith(body), f"{len(rest)} of {len(body)} bytes")
        check(rest[len(body):].startswith(b"HTTP/1.1 400 "), f"then the refusal: {rest[len(body):][:80]}")


@test
def a_question_before_a_fin_is_answered_through_the_relay():
    with Gateway([echo()], http={"guard": "strict", "half_close": "keep"}, conserve=False) as gateway:
        unanswered = 0
        for _ in range(20):
            connections = [gateway.connect() for _ in range(60)]
            for connection in connections:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
            for connection in connections:
                unanswered += not connection.recv(4096).startswith(b"HTTP/1.1 200")
                connection.close()
        equal(unanswered, 0, "closed without an answer")


@test
def honest_requests_do_not_notice_the_guard():
    with Gateway([echo(slots=2)], http=STRICT) as gateway:
        body = bytes(range(256)) * 65536  # 16 MiB
        equal(gateway.post("echo", body, timeout=60).body, body, "16 MiB and back")
        chunks = (b"%x\r\n" % 5000 + b"y" * 5000 + b"\r\n") * 3 + b"0\r\n\r\n"
        gateway.sent += 1
        connection = gateway.send(b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        equal(parse_reply(read_to_end(connection)).body, b"y" * 15000, "in chunks")
        gateway.sent += 3
        many = gateway.send(request_bytes("POST", "/v1/pools/echo/invoke", b"abc", {"Connection": None}) * 2
                            + request_bytes("POST", "/v1/pools/echo/invoke", b"abc"))
        equal(read_to_end(many).count(b"\r\n\r\nabc"), 3, "answers to three requests in one piece")


@test
def through_the_relay_a_client_that_left_is_seen_as_soon():
    for leave in (finish, reset, half_close):
        running_request_is_cancelled(echo(), leave, http=STRICT)
    for leave in (finish, reset):
        queued_request_never_runs(echo(), leave, http=STRICT)


@test
def with_keep_a_half_closed_client_gets_its_answer_through_the_relay():
    with Gateway([echo()], http={**STRICT, "half_close": "keep"}) as gateway:
        connection = gateway.send(gateway.raw_post("echo", b"late", "delay:300"))
        connection.shutdown(socket.SHUT_WR)
        equal(parse_reply(read_to_end(connection)).body, b"late", "the answer after the FIN")


@test
def a_drain_brings_every_relayed_answer():
    with Gateway([echo(slots=4)], http=STRICT) as gateway:
        body = b"z" * (4 << 20)
        connections = [gateway.send(gateway.raw_post("echo", body, "delay:300")) for _ in range(4)]
        time.sleep(0.2)
        gateway.signal()
        for connection in connections:
            equal(parse_reply(read_to_end(connection, 20)).body, body, "an answer during the drain")
        gateway.join()


# --- too slow -------------------------------------------------------------------------------------


def slow_sender(http):
    with Gateway([echo()], http={"min_rate": "1KiB", **http}, conserve=False) as gateway:
        connection = gateway.send(request_bytes("POST", "/v1/pools/echo/invoke", b"x" * 100000)[:1000])
        began = time.monotonic()
        connection.settimeout(1.0)
        data = b""
        while time.monotonic() - began < patient(12):
            try:
                connection.send(b"x" * 100)
                data = connection.recv(1000)
                break
            except socket.timeout:
                pass
            except OSError:
                break
        seconds = time.monotonic() - began
        check(4 < seconds < patient(10), f"cut after {seconds:.1f} s")
        check(data.startswith(b"HTTP/1.1 408"), f"{data}")
        equal(closed(gateway, "slow_sender"), 1, "counted")
        gateway.until_no_bytes("echo")
        equal(gateway.post("echo", b"next").body, b"next", "another client")


@test
def a_body_that_comes_too_slowly_is_cut():
    slow_sender({})


@test
def a_body_that_comes_too_slowly_is_cut_behind_the_relay_too():
    slow_sender(STRICT)


def slow_reader(http):
    with Gateway([echo()], http={"min_rate": "1KiB", **http}, conserve=False) as gateway:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((gateway.host, gateway.port))
        connection.sendall(gateway.raw_post("echo", b"x" * (32 << 20)))
        began = time.monotonic()
        eventually(lambda: closed(gateway, "slow_reader") == 1, within=15, about="the slow reader is cut", every=0.1)
        check(time.monotonic() - began > 4, "not before its time")
        connection.close()
        gateway.until_no_bytes("echo")


@test
def an_answer_that_is_not_taken_is_cut():
    slow_reader({})


@test
def an_answer_that_is_not_taken_is_cut_behind_the_relay_too():
    slow_reader(STRICT)


@test
def half_a_header_ends_at_its_deadline_or_with_its_fin_whichever_request_it_is():
    for guard in ("standard", "strict"):
        with Gateway([echo()], http={"header_timeout": "1s", "guard": guard}, conserve=False) as gateway:
            half = b"GET /livez HTTP/1.1\r\nHo"
            connection = gateway.send(half)
            connection.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            read_to_end(connection)
            check(time.monotonic() - began < patient(0.9), f"{guard}: a FIN ends it")
            second = gateway.send(request_bytes("GET", "/livez", headers={"Connection": None}))
            second.settimeout(patient(5))
            check(second.recv(4096).startswith(b"HTTP/1.1 200"), "the first request")
            time.sleep(0.2)
            second.sendall(half)
            began = time.monotonic()
            data = read_to_end(second)
            check(data.startswith(b"HTTP/1.1 408"), f"{guard}: {data}")
            check(time.monotonic() - began < patient(3), f"{guard}: within two deadlines")


# --- too many -------------------------------------------------------------------------------------


@test
def an_address_has_exactly_its_connections_whatever_the_race():
    with Gateway([echo()], http={"max_per_address": 10}, conserve=False) as gateway:
        for _ in range(5):
            eventually(lambda: int(gateway.metrics().sum("poolgate_connections", frontend="http")) <= 1,
                       about="the last round is over")
            connections, lock = [], threading.Lock()

            def dial():
                connection = gateway.connect()
                with lock:
                    connections.append(connection)

            threads = [threading.Thread(target=dial) for _ in range(25)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(0.1)
            refused = 0
            for connection in connections:
                connection.setblocking(False)
                try:
                    data = connection.recv(4096)
                    check(data.startswith(b"HTTP/1.1 503") and b"this address" in data, f"{data}")
                    refused += 1
                except BlockingIOError:
                    pass
            equal(refused, 15, "refused of 25 with 10 allowed")
            for connection in connections:
                connection.close()


# --- proxies --------------------------------------------------------------------------------------


@test
def a_trusted_proxy_names_its_clients_at_both_doors():
    with Gateway([echo()], http={"trusted_proxies": ["127.0.0.1"], "max_per_address": 2}, conserve=False) as gateway:
        def through(source):
            return gateway.send(f"PROXY TCP4 {source} 127.0.0.1 4711 80\r\n".encode()
                                + request_bytes("GET", "/livez", headers={"Connection": None}))

        held = [through("203.0.113.9") for _ in range(2)]
        for connection in held:
            check(connection.recv(4096).startswith(b"HTTP/1.1 200"), "served")
        third = through("203.0.113.9")
        check(read_to_end(third).startswith(b"HTTP/1.1 503"), "the third of that client")
        check(through("203.0.113.10").recv(4096).startswith(b"HTTP/1.1 200"), "another client")
        for _ in range(5):
            equal(gateway.get("/livez").status, 200, "the proxy for itself, without a header")
        second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([203, 0, 113, 11, 127, 0, 0, 1]) + struct.pack(">HH", 1, 2)
        binary = gateway.send(second + request_bytes("GET", "/livez"))
        check(read_to_end(binary).startswith(b"HTTP/1.1 200"), "version 2")
        broken = gateway.send(b"PROXY NONSENSE\r\n" + request_bytes("GET", "/livez"))
        check(read_to_end(broken).startswith(b"HTTP/1.1 400"), "a header that is none")
        with Http2(gateway) as client:
            equal(client.finish(client.invoke("echo", b"x")).payload, b"x", "gRPC without a header")


def six(gateway, data):
    connection = socket.create_connection(("::1", gateway.port), timeout=patient(20))
    connection.sendall(data)
    return connection


@test
def an_ipv6_client_counts_with_its_whole_64():
    ask = request_bytes("GET", "/livez", headers={"Connection": None})
    with Gateway([echo()], http={"listen": "[::1]:0", "max_per_address": 2}, conserve=False) as gateway:
        eventually(lambda: int(gateway.metrics().sum("poolgate_connections", frontend="http")) <= 1, about="nobody else")
        held = [six(gateway, ask) for _ in range(2)]
        check(all(connection.recv(4096).startswith(b"HTTP/1.1 200") for connection in held), "served")
        check(read_to_end(six(gateway, ask)).startswith(b"HTTP/1.1 503"), "the third of ::1")
    http = {"listen": "[::1]:0", "max_per_address": 2, "trusted_proxies": ["::1"]}
    with Gateway([echo()], http=http, conserve=False) as gateway:
        def through(source):
            return six(gateway, f"PROXY TCP6 {source} ::1 4711 80\r\n".encode() + ask)

        held = [through(source) for source in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1")]
        check(all(connection.recv(4096).startswith(b"HTTP/1.1 200") for connection in held), "two of one /64, one of another")
        check(read_to_end(through("2001:db8:0:1:1:2:3:4")).startswith(b"HTTP/1.1 503"), "the third of that /64")
        equal(closed(gateway, "address_full"), 1, "counted")


@test
def from_strangers_a_proxy_header_is_garbage():
    with Gateway([echo()], conserve=False) as gateway:
        connection = gateway.send(b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + request_bytes("GET", "/livez"))
        check(b" 400 " in read_to_end(connection)[:20], "it is read as a request")


# --- gRPC -----------------------------------------------------------------------------------------


@test
def sixteen_mib_go_both_ways_through_the_relay():
    with Gateway([echo(slots=2)], stop_within=20) as gateway, Node(gateway) as client:
        body = bytes(range(256)) * 65536
        for _ in range(3):
            client.echo(body)


@test
def a_flood_of_resets_is_closed_while_a_good_client_is_served():
    with Gateway([echo(slots=2)], conserve=False) as gateway:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/poolgate.v1.Gateway/Invoke"),
                  (":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers")]
        head = b"".join(literal(name, value) for name, value in fields)

        def flood():
            bad = Http2(gateway)
            try:
                for stream in range(1, 200001, 2):
                    bad.socket.sendall(Http2.frame(HEADERS, END_HEADERS, stream, head)
                                       + Http2.frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
            except OSError:
                os._exit(0)  # cut off
            os._exit(1)

        with Http2(gateway) as client:
            for _ in range(200):
                client.finish(client.invoke("echo", b"good"))
            before, times = gateway.resident_kib(), []
            for _ in range(5):
                child = os.fork()
                if child == 0:
                    flood()
                until = time.monotonic() + 1
                while time.monotonic() < until:
                    times.append(client.finish(client.invoke("echo", b"good")).seconds)
                    time.sleep(0.002)
                equal(os.waitpid(child, 0)[1], 0, "the flood was cut off")
        equal(sum(closed(gateway, reason, "grpc") for reason in ("rapid_reset", "streams")), 5, "counted")
        times.sort()
        in_time(times[len(times) * 99 // 100], patient(0.05), "99 of 100 answers to the good client")
        if not build.sanitized:  # it keeps what is freed for a while
            check(gateway.resident_kib() - before < 16 << 10, f"{gateway.resident_kib() - before} KiB more")


@test
def a_client_that_does_not_greet_is_closed():
    with Gateway([echo()], http={"header_timeout": "500ms"}, conserve=False) as gateway:
        silent, half = grpc_socket(gateway), grpc_socket(gateway)
        half.sendall(b"PRI * HTTP/2.0\r\n\r\n")
        for connection in (silent, half):
            began = time.monotonic()
            read_to_end(connection)
            check(time.monotonic() - began < patient(1.5), "closed at its deadline")
        equal(closed(gateway, "header_timeout", "grpc"), 2, "counted")
        with Http2(gateway) as client:
            time.sleep(0.8)
            equal(client.finish(client.invoke("echo", b"x")).payload, b"x", "who greeted and then was silent")


@test
def a_grpc_client_that_is_gone_frees_its_slot_within_100_ms():
    with Gateway([echo()], conserve=False) as gateway:
        client = Http2(gateway)
        client.invoke("echo", b"x", operation="delay:10000")
        gateway.until_slot("echo", "processing")
        reset(client.socket)
        began = time.monotonic()
        eventually(lambda: gateway.slot("echo")["state"] in ("ready", "idle"), about="the slot is free")
        in_time(time.monotonic() - began, 0.1, "from the client's reset to the free slot")


# --- the gateway's own ----------------------------------------------------------------------------


@test
def own_dials_take_no_clients_place_and_leave_nothing_behind():
    with Gateway([echo()], http={"max_connections": 1, "max_per_address": 1}, conserve=False) as gateway:
        descriptors = gateway.descriptors()
        held = gateway.connect()
        held.sendall(request_bytes("GET", "/livez", headers={"Connection": None}))
        check(held.recv(4096).startswith(b"HTTP/1.1 200"), "the only place")
        time.sleep(6)
        held.sendall(request_bytes("GET", "/livez", headers={"Connection": None}))
        check(held.recv(4096).startswith(b"HTTP/1.1 200"), "both ports answer themselves")
        held.close()
        check(not gateway.events("port does not answer"), "no port is dead")
        eventually(lambda: gateway.descriptors() <= descriptors + 1, about="no descriptor is left")


main(__doc__)
