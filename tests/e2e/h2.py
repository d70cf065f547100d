"""h2 - gRPC calls as raw HTTP/2 frames on one connection: what a client library would not send, or not so many of.

    with Http2(gateway) as client:
        stream = client.invoke("echo", b"hello", timeout="300m")
        answer = client.finish(stream)          # .status, .code, .payload, .trailers, .seconds

One thread. Headers go out as plain literals; what comes back is read with the static and a dynamic table
(RFC 7541), without Huffman codes, which gRPC core does not send.
"""

import selectors
import socket
import struct
import time

from support import check, patient

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INVOKE = "/poolgate.v1.Gateway/Invoke"
WINDOW = 1 << 24
STATIC = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), *((name, "") for name in (
        "accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow", "authorization",
        "cache-control", "content-disposition", "content-encoding", "content-language", "content-length",
        "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from",
        "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
        "link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh",
        "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary",
        "via", "www-authenticate"))]
PRIORITIES = {None: 0, "critical": 1, "high": 2, "normal": 3, "low": 4, "batch": 5}


def literal(name, value):
    name, value = name.encode(), value.encode("latin-1")
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def invoke_request(pool, payload=b"", operation=None, priority=None, tenant=None, request_id=None):
    message = field(1, pool) + field(2, payload)
    for number, value in ((5, PRIORITIES[priority]), (6, tenant), (8, operation), (9, request_id)):
        if value:
            message += field(number, value)
    return message


def first_field(message, wanted):
    """The first length-delimited field `wanted` of a protobuf message."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        size = number()
        if key & 7 == 2:
            if key >> 3 == wanted:
                return message[at:at + size]
            at += size
    return b""


class Answer:
    """How one call has ended; status is None where the stream was reset."""

    def __init__(self, trailers, data, seconds):
        self.trailers, self.seconds = trailers, seconds
        self.status = int(trailers["grpc-status"]) if "grpc-status" in trailers else None
        self.code = "ok" if self.status == 0 else trailers.get("poolgate-code")
        self.payload = first_field(data[5:], 1) if len(data) > 5 else b""

    def __repr__(self):
        return f"<{self.status} {self.trailers} {self.payload[:80]!r} after {self.seconds:.3f} s>"


class Http2:
    def __init__(self, gateway):
        host, port = gateway.events("listening")[0]["grpc"].rsplit(":", 1)
        self.gateway, self.next, self.room = gateway, 1, 65535
        self.answers, self.under_way, self.table, self.received = {}, {}, [], b""
        self.socket = socket.create_connection((host, int(port)), timeout=patient(20))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(PREFACE + self.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW))
                            + self.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW)))
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.selector.close()
        self.socket.close()

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    # --- calls ------------------------------------------------------------------------------------

    def begin(self, path, message, timeout=None, extra=()):
        """Sends one call; `timeout` is grpc-timeout as it is. The stream's number."""
        while self.room < len(message) + 5:
            self.pump(1)
        stream, self.next = self.next, self.next + 2
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "gateway"),
                  ("content-type", "application/grpc"), ("te", "trailers"), *extra]
        if timeout is not None:
            fields.append(("grpc-timeout", timeout))
        head = b"".join(literal(name, value) for name, value in fields)
        self.under_way[stream] = [time.monotonic(), {}, bytearray()]
        self.room -= len(message) + 5
        self.socket.sendall(self.frame(HEADERS, END_HEADERS, stream, head)
                            + self.frame(DATA, END_STREAM, stream, struct.pack(">BI", 0, len(message)) + message))
        return stream

    def invoke(self, pool, payload=b"", timeout=None, **more):
        self.gateway.sent += 1
        return self.begin(INVOKE, invoke_request(pool, payload, **more), timeout)

    def cancel(self, stream):
        """True if the call had no answer yet."""
        self.pump(0)
        if self.under_way.pop(stream, None) is None:
            return False
        self.socket.sendall(self.frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
        return True

    def finish(self, stream, within=30.0):
        end = time.monotonic() + patient(within)
        while stream not in self.answers:
            check(time.monotonic() < end, f"no answer to call {stream} within {patient(within):g} s")
            self.pump(0.2)
        return self.answers.pop(stream)

    def finish_all(self, within=30.0):
        end = time.monotonic() + patient(within)
        while self.under_way:
            check(time.monotonic() < end, f"{len(self.under_way)} calls have no answer after {patient(within):g} s")
            self.pump(0.2)
        found, self.answers = self.answers, {}
        return found

    # --- frames -----------------------------------------------------------------------------------

    def pump(self, wait):
        """Takes what has come, after at most `wait` seconds."""
        if not self.selector.select(wait):
            return
        piece = self.socket.recv(1 << 18)
        check(piece, "the gateway has closed the connection")
        self.received += piece
        while len(self.received) >= 9:
            size = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + size:
                return
            kind, flags = self.received[3], self.received[4]
            stream = int.from_bytes(self.received[5:9], "big") & 0x7FFFFFFF
            payload, self.received = self.received[9:9 + size], self.received[9 + size:]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        check(kind != CONTINUATION and (kind != HEADERS or flags & END_HEADERS), "headers in one frame")
        if kind == SETTINGS and not flags & ACK:
            self.socket.sendall(self.frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(self.frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.room += struct.unpack(">I", payload)[0]
        elif kind == DATA and payload:
            self.socket.sendall(self.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
        fields = self.headers(payload) if kind == HEADERS else {}
        call = self.under_way.get(stream)
        if call is None or stream == 0:
            return
        if kind == HEADERS:
            call[1].update(fields)
        elif kind == DATA:
            call[2] += payload
        if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            del self.under_way[stream]
            check(stream not in self.answers, f"call {stream} is answered once")
            self.answers[stream] = Answer(call[1], bytes(call[2]), time.monotonic() - call[0])

    def headers(self, block):
        """RFC 7541, section 6."""
        found, at = {}, 0

        def number(bits):
            nonlocal at
            most = (1 << bits) - 1
            value, at = block[at] & most, at + 1
            if value < most:
                return value
            shift = 0
            while True:
                byte, at = block[at], at + 1
                value, shift = value + ((byte & 127) << shift), shift + 7
                if byte < 128:
                    return value

        def text():
            nonlocal at
            check(not block[at] & 128, "a Huffman code")
            size = number(7)
            at += size
            return block[at - size:at].decode("latin-1")

        def entry(index):
            return STATIC[index - 1] if index <= len(STATIC) else self.table[index - len(STATIC) - 1]

        while at < len(block):
            first = block[at]
            if first & 128:
                name, value = entry(number(7))
            elif first & 224 == 32:
                number(5)  # the table's new size: ours never gets so full
                continue
            else:
                index = number(6 if first & 64 else 4)
                name = entry(index)[0] if index else text()
                value = text()
                if first & 64:
                    self.table.insert(0, (name, value))
            found[name] = value
        return found
