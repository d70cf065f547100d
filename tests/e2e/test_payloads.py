#!/usr/bin/env python3
"""payloads: hostile and odd contents of requests through both doors, each refused by name and at no cost"""

import gzip
import socket
import struct
import time

from gateway import Gateway, echo, parse_reply, process_field, receive, request_bytes
from h2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INVOKE, SETTINGS, WINDOW_UPDATE, Http2, field
from h2 import invoke_request
from support import build, check, equal, eventually, main, patient, test

OK, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED = 0, 3, 4, 8, 12
MIB = 1 << 20
HEAD = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
HEAD_BYTES = len("Host") + len("localhost") + len("Connection") + len("close") + 2 * 4
FRAME_BYTES = 16384


# --- talking -----------------------------------------------------------------------------------------


def answer_of(gateway, data):
    """One raw request's reply; it must come and end the connection."""
    connection = gateway.send(data.encode("latin-1") if isinstance(data, str) else data)
    connection.settimeout(patient(10))
    return parse_reply(receive(connection))


def is_refused(reply, status, code, words=""):
    equal(reply.status, status, f"status ({reply!r})")
    equal(reply.headers["Content-Type"], "application/problem+json", "content type")
    problem = reply.json()
    equal((problem["code"], problem["status"]), (code, status), "code and status of the problem")
    check(words in problem["detail"], f"{words!r} is said: {problem['detail']!r}")


def literal(name, value):
    """A header field of any length, as bytes (RFC 7541, section 6.2.2)."""

    def text(data):
        head, left = bytes([min(len(data), 127)]), len(data) - 127
        while left >= 0:
            head += bytes([left & 127 | (128 if left > 127 else 0)])
            left = (left >> 7) or -1
        return head + data

    return b"\0" + text(name.encode()) + text(value if isinstance(value, bytes) else value.encode("latin-1"))


class Raw(Http2):
    """A client of its own frames: any header block, any message, with the windows that it is given."""

    def __init__(self, gateway):
        self.initial, self.rooms = 65535, {}
        super().__init__(gateway)

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS:
            for at in range(0, len(payload), 6):
                number, value = struct.unpack(">HI", payload[at:at + 6])
                if number == 4:
                    self.initial = value
        elif kind == WINDOW_UPDATE and stream in self.rooms:
            self.rooms[stream] += struct.unpack(">I", payload)[0]
        super().take(kind, flags, stream, payload)

    def call(self, fields, path=INVOKE):
        """Opens a call with these fields besides the usual ones; nothing of its message is sent."""
        self.pump(0.01)
        stream, self.next = self.next, self.next + 2
        usual = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "gateway"),
                 ("content-type", "application/grpc"), ("te", "trailers")]
        block = b"".join(literal(name, value) for name, value in [*usual, *fields])
        self.under_way[stream], self.rooms[stream] = [time.monotonic(), {}, bytearray()], self.initial
        first, rest = block[:FRAME_BYTES], block[FRAME_BYTES:]
        frames = self.frame(HEADERS, 0 if rest else END_HEADERS, stream, first)
        while rest:
            piece, rest = rest[:FRAME_BYTES], rest[FRAME_BYTES:]
            frames += self.frame(CONTINUATION, 0 if rest else END_HEADERS, stream, piece)
        self.socket.sendall(frames)
        return stream

    def message(self, stream, message, flag=0):
        """Sends the message as far as the call lives, and the end."""
        data = struct.pack(">BI", flag, len(message)) + message
        while data and stream in self.under_way:
            room = min(self.room, self.rooms[stream], FRAME_BYTES)
            if room <= 0:
                self.pump(0.2)
                continue
            piece, data = data[:room], data[room:]
            self.room -= len(piece)
            self.rooms[stream] -= len(piece)
            self.socket.sendall(self.frame(DATA, 0 if data else END_STREAM, stream, piece))
            self.pump(0)

    def send(self, message, *fields, path=INVOKE, flag=0):
        stream = self.call(fields, path)
        self.message(stream, message, flag)
        return self.finish(stream)

    def answers_well(self):
        answer = self.send(invoke_request("echo", b"well"))
        equal((answer.status, answer.payload), (OK, b"well"), f"a good call afterwards ({answer})")


def peak_of(gateway, act):
    """By how many bytes act() raises the most that the gateway has ever held."""
    with open(f"/proc/{gateway.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    before = process_field(gateway.pid, "VmHWM")
    act()
    return (process_field(gateway.pid, "VmHWM") - before) * 1024


def check_peak(peak, limit, about):
    if not build.sanitized:
        check(peak <= limit, f"{about}: {peak / MIB:.1f} MiB, at most {limit / MIB:.1f}")


# --- HTTP: limits ------------------------------------------------------------------------------------


@test
def header_lines_have_a_limit_to_the_byte_and_to_the_line():
    with Gateway([echo()]) as gateway:
        for total, status in ((16384, 200), (16385, 431), (30_000, 431), (100_000, 431)):
            one = HEAD + "X: " + "v" * (total - HEAD_BYTES - 5) + "\r\n\r\n"
            reply = answer_of(gateway, one)
            equal(reply.status, status, f"one long line, {total} bytes in all")
            if total <= 30_000 and status != 200:
                is_refused(reply, 431, "headers_too_large", "16384 bytes")
        for lines, status in ((100, 200), (101, 431), (400, 431), (5000, 431)):
            reply = answer_of(gateway, HEAD + "X: \r\n" * (lines - 2) + "\r\n")
            equal(reply.status, status, f"{lines} lines")
            if lines == 101:
                is_refused(reply, 431, "headers_too_large", "allowed: 100")


@test
def the_largest_header_still_has_room_for_a_body():
    with Gateway([echo()]) as gateway:
        body = bytes(300_000)
        data = gateway.raw_post("echo", body)
        head, rest = data.split(b"\r\n\r\n", 1)
        used = sum(len(line) + 2 for line in head.split(b"\r\n")[1:])
        reply = answer_of(gateway, head + b"\r\nX: " + b"v" * (16384 - used - 5) + b"\r\n\r\n" + rest)
        equal((reply.status, reply.body == body), (200, True), "status, and the body is back")


@test
def a_target_and_a_method_have_a_limit():
    with Gateway([echo()]) as gateway:
        for length, status, code in ((2048, 404, "not_found"), (2049, 414, "uri_too_long"),
                                     (30_000, 414, "uri_too_long")):
            target = "/" + "a" * (length - 1)
            is_refused(answer_of(gateway, HEAD.replace("/livez", target) + "\r\n"), status, code)
        equal(answer_of(gateway, HEAD.replace("/livez", "/" + "a" * 100_000) + "\r\n").status, 414, "and beyond")
        equal(answer_of(gateway, HEAD.replace("/livez", "/livez?" + "q" * 8000) + "\r\n").status, 200, "a query")
        for method in ("M" * 16, "M" * 8000):
            is_refused(answer_of(gateway, HEAD.replace("GET", method) + "\r\n"), 501, "not_implemented", "GET, HEAD")


@test
def a_body_in_chunks_of_one_byte_costs_no_more_than_the_body():
    count = 100_000
    with Gateway([echo()]) as gateway:
        def many(times):
            head = request_bytes("POST", "/v1/pools/echo/invoke", b"", {"Content-Length": None})
            head = head[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
            for _ in range(times):
                gateway.sent += 1
                equal(answer_of(gateway, head + b"1\r\nx\r\n" * count + b"0\r\n\r\n").body, b"x" * count, "the body")

        many(2)
        before = gateway.resident_kib()
        many(10)
        check(build.sanitized or gateway.resident_kib() - before < 1024,
              f"grew by {gateway.resident_kib() - before} KiB")


# --- HTTP: methods, paths, order ---------------------------------------------------------------------


@test
def a_method_is_served_refused_with_allow_or_not_known():
    with Gateway([echo()]) as gateway:
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "POST"):
            reply = gateway.ask(method, "/v1/pools")
            equal((reply.status, reply.headers["Allow"]), (405, "GET, HEAD, OPTIONS"), f"{method} /v1/pools")
        equal(gateway.ask("GET", "/v1/pools/echo/invoke").headers["Allow"], "POST, OPTIONS", "Allow of invoke")
        equal(gateway.ask("DELETE", "/nowhere").status, 404, "nothing is there to be deleted")
        for path in ("/v1/pools", "*"):
            options = gateway.ask("OPTIONS", path)
            equal((options.status, options.body), (204, b""), f"OPTIONS {path}")
            check("OPTIONS" in options.headers["Allow"], f"Allow of {path}")
        whole, head = gateway.get("/livez"), gateway.ask("HEAD", "/livez")
        equal((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(whole.body))), "HEAD")
        for method in ("BREW", "get", "PROPFIND"):
            is_refused(answer_of(gateway, HEAD.replace("GET", method) + "\r\n"), 501, "not_implemented", "GET, HEAD")
        for coding, status in (("gzip", 501), ("gzip, chunked", 501), ("identity", 501), ("chunked, gzip", 400)):
            post = HEAD.replace("GET /livez", "POST /v1/pools/echo/invoke")
            is_refused(answer_of(gateway, f"{post}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"), status,
                       {501: "not_implemented", 400: "invalid_request"}[status], "allowed: chunked")


@test
def a_path_has_one_spelling_or_is_refused():
    refused = ("/v1/../livez", "/v1/%2e%2e/livez", "/%2E%2e/livez", "/./livez", "//livez", "/v1//pools",
               "/v1%2fpools", "/v1%2Fpools", "/livez%00", "/livez%0d%0aX:%20y", "/livez%1b", "\\livez", "/v1\\pools",
               "/v1%5cpools", "/v1/%c0%af/pools", "/v1/%e0%80%af/pools", "/%ff", "/livez%", "/livez%4", "/livez%zz",
               "/livez#x", "http://", "http:///livez", "http://user@host/livez", "https://host/livez", "file:///livez",
               "livez")
    with Gateway([echo()]) as gateway:
        for target in refused:
            is_refused(answer_of(gateway, HEAD.replace("/livez", target, 1) + "\r\n"), 400, "invalid_request")
        for target in ("/livez", "/%6c%69vez", "http://elsewhere.example/livez", "HTTP://[::1]:99/livez", "/livez?a=/../"):
            equal(answer_of(gateway, HEAD.replace("/livez", target, 1) + "\r\n").status, 200, f"{target} is /livez")
        for target in ("/livez/", "/LIVEZ", "/v1/pools/", "/...", "/"):
            equal(answer_of(gateway, HEAD.replace("/livez", target, 1) + "\r\n").status, 404, f"{target} is nothing")


@test
def a_hundred_pipelined_requests_are_answered_in_their_order():
    with Gateway([echo(slots=2)]) as gateway:
        parts = []
        for i in range(100):
            headers = {"X-Request-Id": f"turn-{i}", "Connection": None}
            parts.append(gateway.raw_post("echo", b"body %d" % i, headers=headers))
        last = request_bytes("GET", "/livez", headers={"X-Request-Id": "turn-100"})
        connection = gateway.send(b"".join(parts) + last)
        connection.settimeout(patient(20))
        data, found, bodies = receive(connection), [], []
        for _ in range(101):
            head, data = data.split(b"\r\n\r\n", 1)
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            size = int(lines["Content-Length"])
            found.append(lines["X-Request-Id"])
            bodies.append(data[:size])
            data = data[size:]
        equal(found, [f"turn-{i}" for i in range(101)], "the order")
        equal(bodies[:100], [b"body %d" % i for i in range(100)], "the bodies")


# --- texts and times, both doors ---------------------------------------------------------------------

BAD_TEXTS = {"a control character": b"a\x01b", "an escape": b"\x1b[2J", "DEL": b"a\x7f", "C1": b"\xc2\x85",
             "a tab": b"a\tb", "a byte that is no text": b"\xff", "an overlong slash": b"\xc0\xaf",
             "half of a pair": b"\xed\xa0\x80", "1,025 bytes": b"x" * 1025}
FIELDS = {"Content-Type": (3, "the content type"), "Poolgate-Tenant": (6, "the tenant"),
          "Poolgate-Batch-Key": (7, "the batch key"), "Poolgate-Operation": (8, "the operation"),
          "X-Request-Id": (9, "the request id")}


@test
def both_doors_refuse_the_same_texts_by_the_same_words():
    with Gateway([echo()], conserve=False) as gateway, Raw(gateway) as client:
        for header, (number, words) in FIELDS.items():
            for what, text in BAD_TEXTS.items():
                answer = client.send(field(1, "echo") + field(number, text))
                equal((answer.status, answer.code), (INVALID, "invalid_request"), f"{header} with {what} ({answer})")
                check(answer.trailers["grpc-message"].startswith(words), f"{words!r}: {answer.trailers}")
                head = request_bytes("POST", "/v1/pools/echo/invoke", b"x")[:-3]
                reply = answer_of(gateway, head + f"{header}: ".encode() + text + b"\r\n\r\nx")
                is_refused(reply, 400, "invalid_request")
                if text[0] >= 0x80 or what in ("a tab", "1,025 bytes"):
                    check(reply.json()["detail"].startswith(words), f"{words!r}: {reply.json()['detail']}")
        gateway.served("echo", 0)
        good = "café € \U0001f986 " + "x" * 1000
        answer = client.send(field(1, "echo") + field(7, good[:1000]) + field(2, b"y"))
        equal(answer.status, OK, f"a good key ({answer})")
        head = request_bytes("POST", "/v1/pools/echo/invoke", b"x")[:-3]
        equal(answer_of(gateway, head + "Poolgate-Batch-Key: café €\r\n\r\nx".encode()).status, 200, "and over HTTP")
        client.answers_well()


@test
def a_timeout_is_a_number_of_milliseconds_or_refused():
    bad = ("0", "00", "-1", "+1", "1.5", "1e3", "0x10", "12 34", "", "junk", "1000000000001", "9223372036854775808",
           "18446744073709551616", "18446744073709551617", "9" * 200, "1n", "10ms", "\xb2")
    with Gateway([echo()]) as gateway:
        for value in bad:
            gateway.sent += 1
            head = request_bytes("POST", "/v1/pools/echo/invoke", b"x")[:-3]
            reply = answer_of(gateway, head + f"Poolgate-Timeout-Ms: {value}\r\n\r\nx".encode("latin-1"))
            is_refused(reply, 400, "invalid_request", "from 1 to 1000000000000")
        gateway.served("echo", 0)
        for value in ("1000", "0001000", "1000000000000"):
            equal(gateway.post("echo", b"x", timeout_ms=value).status, 200, f"{value} is fine")


@test
def a_deadline_that_has_passed_starts_nothing_and_an_endless_one_is_none():
    with Gateway([echo()]) as gateway, Raw(gateway) as client:
        for timeout in ("0n", "0u", "0m", "0S", "0M", "0H", "00000000S"):
            answer = client.send(invoke_request("echo", b"x"), ("grpc-timeout", timeout))
            equal((answer.status, answer.code), (DEADLINE, "deadline_exceeded"), f"{timeout} ({answer})")
            check(answer.seconds < patient(0.5), f"{timeout}: at once, not after {answer.seconds:.3f} s")
        gateway.served("echo", 0)
        lengths = ("5000m", "99999999H", "5124096H", "99999999S", "99999999M")
        broken = ("", "-1S", "1", "S", "1X", "1.5S", "123456789S", "99999999999999999999S", "junk")
        for timeout in lengths + broken:  # the library drops what it cannot read
            gateway.sent += 1
            answer = client.send(invoke_request("echo", b"x"), ("grpc-timeout", timeout))
            equal((answer.status, answer.payload), (OK, b"x"), f"grpc-timeout {timeout!r} ({answer})")


# --- gRPC: messages ----------------------------------------------------------------------------------


@test
def a_message_has_a_limit_to_the_byte():
    limit = MIB
    with Gateway([echo()], grpc={"listen": "127.0.0.1:0", "max_message": "1MiB"}, conserve=False) as gateway:
        for above in (-1, 0, 1):
            with Raw(gateway) as client:
                rest = len(field(1, "echo") + field(2, bytes(limit - 100))) - (limit - 100)
                message = field(1, "echo") + field(2, bytes(limit - rest + above))
                equal(len(message), limit + above, "length of the message")
                answer = client.send(message)
                equal(answer.status, EXHAUSTED if above > 0 else OK, f"{above:+d} ({answer})")
                check(above > 0 or answer.payload == bytes(limit - rest + above), "the payload is back")
                client.answers_well()
        gateway.until_no_bytes("echo")


@test
def a_gzip_bomb_is_refused_before_it_is_inflated():
    bomb = gzip.compress(bytes(200 * MIB), 9)
    with Gateway([echo()], conserve=False) as gateway, Raw(gateway) as client:
        client.answers_well()

        def send():
            for coding in ("gzip", "deflate"):
                answer = client.send(bomb, ("grpc-encoding", coding), flag=1)
                equal(answer.status, UNIMPLEMENTED, f"{coding} ({answer})")

        peak = peak_of(gateway, send)
        check_peak(peak, 20 * MIB, f"a bomb of {len(bomb)} bytes")
        client.answers_well()


@test
def a_flag_of_compression_without_a_coding_ends_its_call_only():
    with Gateway([echo()], conserve=False) as gateway, Raw(gateway) as client, Raw(gateway) as other:
        for flag in (1, 2, 255):
            with Raw(gateway) as hostile:
                stream = hostile.call(())
                hostile.message(stream, gzip.compress(bytes(MIB)), flag)
                try:
                    check(hostile.finish(stream).status != OK, f"flag {flag} is no success")
                except AssertionError as gone:
                    check("closed the connection" in str(gone), f"flag {flag}: {gone}")
            other.answers_well()
        client.answers_well()


@test
def four_megabytes_of_empty_messages_and_values_cost_no_more_than_their_bytes():
    size = 4 * MIB
    pools = [echo(), {"name": "embed", "worker": {"plugin": "embed"}, "slots": {"min": 1, "max": 1}}]
    with Gateway(pools, conserve=False) as gateway, Raw(gateway) as client:
        client.answers_well()
        pairs = b"\x22\x00" * (size // 2)
        peak = peak_of(gateway, lambda: equal(client.send(pairs).status, INVALID, "empty pairs"))
        check_peak(peak, 8 * size, "the gateway")
        client.answers_well()
        worker = gateway.slot("embed")["pid"]
        for piece in (b"{},", b"[],", b'{"":', b"[", b"0,"):
            body = b'{"input":[' + piece * (size // len(piece))
            reply = gateway.post("embed", body, headers={"Content-Type": "application/json"})
            is_refused(reply, 400, "invalid_request", "JSON")
        peak = process_field(worker, "VmHWM") - process_field(worker, "VmRSS")
        check_peak(peak * 1024, 8 * size, "the worker")


@test
def metadata_above_the_limit_ends_its_call_and_no_other():
    with Gateway([echo(slots=2)]) as gateway, Raw(gateway) as client:
        slow = client.call(())
        gateway.sent += 1
        for size in (16_384, 16_385, 20_000, 30_000):
            stream = client.call((("x-large", "v" * (size - len("x-large") - 32)),))
            client.message(stream, invoke_request("echo", b"x"))
            answer = client.finish(stream)
            if size == 16_384:
                gateway.sent += 1
                equal(answer.payload, b"x", f"{size} bytes of metadata ({answer})")
            else:
                equal((answer.status, answer.code), (EXHAUSTED, "headers_too_large"), f"{size} bytes ({answer})")
                check("16384 bytes" in answer.trailers["grpc-message"], f"the limit is told: {answer}")
        client.message(slow, invoke_request("echo", b"slow"))
        equal(client.finish(slow).payload, b"slow", "the call that was open meanwhile")
        gateway.sent += 1
        client.answers_well()
        with Raw(gateway) as other:  # more than is read at all: its connection may end
            try:
                equal(other.finish(other.call((("x-large", "v" * 70_000),))).status, EXHAUSTED, "70,000 bytes")
            except AssertionError as gone:
                check("closed the connection" in str(gone), f"70,000 bytes: {gone}")
        gateway.sent += 1
        client.answers_well()


@test
def metadata_that_is_not_base64_costs_at_most_its_own_connection():
    with Gateway([echo()], conserve=False) as gateway, Raw(gateway) as other:
        for value in ("!", "a", "====", "\xff"):
            with Raw(gateway) as hostile:
                try:
                    stream = hostile.call((("x-bin", value),))
                    hostile.message(stream, invoke_request("echo", b"x"))
                    hostile.finish(stream, within=5)
                except (AssertionError, OSError):
                    pass
            other.answers_well()


# --- the log -----------------------------------------------------------------------------------------


@test
def what_strangers_send_reaches_the_log_in_one_line_each_and_escaped():
    poison = b"a\x1b[31m\r\nmsg=forged \x00\x7f\xc2\x9b\xff\"\\"
    with Gateway([echo()], log={"level": "debug"}, conserve=False) as gateway, Raw(gateway) as client:
        for number in (1, 3, 6, 7, 8, 9):
            equal(client.send(field(1, "echo") + field(number, poison)).status, INVALID, f"field {number}")
        equal(client.send(field(1, poison), path="/poolgate.v1.Gateway/GetPool").status, INVALID, "a pool's name")
        equal(client.send(field(1, poison), path="/grpc.health.v1.Health/Check").status, INVALID, "a service's")
        equal(client.send(b"", path="/poison\"\\ forged=yes").status, UNIMPLEMENTED, "a method")
        refusals = eventually(lambda: len(lines := gateway.events("grpc call refused")) >= 9 and lines, about="lines")
        equal(len(refusals), 9, "lines of nine refused calls")
        for place in ("GET /%s HTTP/1.1", "%s / HTTP/1.1", "GET / HTTP/%s", "GET / HTTP/1.1\r\nX: %s",
                      "GET / HTTP/1.1\r\n%s: x", "GET / HTTP/1.1\r\nHost: %s"):
            data = place.encode().replace(b"%s", poison) + b"\r\n\r\n"
            with gateway.send(data) as connection:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(patient(10))
                received = receive(connection)
            check(b"\x1b" not in received and b"\x00" not in received, f"nothing raw comes back: {received[:300]!r}")
        gateway.post("echo", b"x", "fail", headers={"X-Request-Id": 'q"\\'})
        equal(gateway.get("/livez").status, 200, "and it lives")
        time.sleep(0.05)
        log = gateway.log_file.read_bytes()
        raw = [line for line in log.split(b"\n") if any(byte < 0x20 or byte == 0x7f for byte in line)]
        check(not raw, f"control bytes in the log: {raw[:3]}")
        log.decode("utf-8")
        check(b"\xc2\x9b" not in log, "C1 in the log")
        wrong = [line for line in log.splitlines() if not line.startswith(b"time=")]
        check(not wrong, f"lines that are none of ours: {wrong[:3]}")
        check(not gateway.events("forged"), "a line of the client's own making")


main(__doc__)
