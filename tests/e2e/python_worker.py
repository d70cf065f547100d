#!/usr/bin/env python3
"""A worker in Python, from docs/worker-protocol.md alone: struct for the frames, protobuf for the envelopes.

Usage as `command:`  python3 python_worker.py FOLDER_OF_worker_pb2
It reverses the bytes that it is sent. The operation `chunks` answers in pieces of four bytes, `fail`
with an error, and any other is not known.
"""

import socket
import struct
import sys

sys.path.insert(0, sys.argv[1])
import worker_pb2 as pb  # noqa: E402 - generated where argv says

HEADER = struct.Struct("<IBBHII")
MAGIC = 0x31574750
HELLO, SETUP, LOADING, READY, REQUEST, CHUNK, REPLY, ERROR, PING, PONG, CANCEL, SHUTDOWN = range(1, 13)
control = socket.socket(fileno=3)


def read_exactly(count):
    data = bytearray()
    while len(data) < count:
        piece = control.recv(count - len(data))
        if not piece:
            sys.exit(0)  # the gateway is gone
        data += piece
    return bytes(data)


def receive():
    magic, kind, flags, reserved, envelope, payload = HEADER.unpack(read_exactly(HEADER.size))
    if (magic, flags, reserved) != (MAGIC, 0, 0):
        sys.exit(f"not a frame for this worker: {magic:#x} {flags} {reserved}")
    return kind, read_exactly(envelope), read_exactly(payload)


def send(kind, envelope, payload=b""):
    packed = envelope.SerializeToString()
    control.sendall(HEADER.pack(MAGIC, kind, 0, 0, len(packed), len(payload)) + packed + payload)


def handle(request, payload):
    answer = payload[::-1]
    if request.operation == "chunks":
        for at in range(0, len(answer), 4):
            send(CHUNK, pb.Chunk(id=request.id, content_type=request.content_type), answer[at:at + 4])
        send(REPLY, pb.Reply(id=request.id))
    elif request.operation == "fail":
        send(ERROR, pb.Error(id=request.id, kind=pb.FAILED, message="python failed as asked"))
    elif request.operation:
        send(ERROR, pb.Error(id=request.id, kind=pb.UNSUPPORTED, message="operation: not known"))
    else:
        meta = [pb.Pair(name="language", value="python")]
        send(REPLY, pb.Reply(id=request.id, content_type=request.content_type, metadata=meta), answer)


def serve():
    send(HELLO, pb.Hello(protocol=1, kit="python/test", accepts_memfd=False))
    while True:
        kind, envelope, payload = receive()
        if kind == SETUP:
            setup = pb.Setup.FromString(envelope)
            print(f"loading for {setup.pool}/{setup.slot}", file=sys.stderr)
            send(LOADING, pb.Loading(note="as fast as it can"))
            send(READY, pb.Ready(name="python-reverse", version="1", max_batch=1))
        elif kind == REQUEST:
            handle(pb.Request.FromString(envelope), payload)
        elif kind == PING:
            send(PONG, pb.Pong(id=pb.Ping.FromString(envelope).id))
        elif kind == SHUTDOWN:
            sys.exit(0)


serve()
