#!/usr/bin/env python3
"""traffic: many requests, many pools, every size of body, and nothing left behind

The clients are the real curl where it matters that we did not write it.
"""

import hashlib
import http.client
import os
import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway import Gateway, echo, parse_reply, receive, request_bytes
from support import build, check, equal, eventually, main, patient, test

SIZES = {"nothing": 0, "one byte": 1, "16 KiB": 16 << 10, "63 KiB": 63 << 10, "64 KiB": 64 << 10,
         "65 KiB": 65 << 10, "256 KiB": 256 << 10, "1 MiB": 1 << 20, "60 MiB": 60 << 20}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@test
def two_hundred_mixed_requests_go_through_two_slots():
    kinds = [
        lambda g, i: (g.post("echo", b"plain %d" % i), 200, b"plain %d" % i),
        lambda g, i: (g.post("echo", b"slow %d" % i, "delay:10"), 200, b"slow %d" % i),
        lambda g, i: (g.post("echo", b"pieces %d" % i, "chunks:3"), 200, b"pieces %d" % i),
        lambda g, i: (g.post("echo", b"", f"size:{i * 997}"), 200, bytes(k % 251 for k in range(i * 997))),
        lambda g, i: (g.post("echo", b"x", "invalid"), 400, None),
        lambda g, i: (g.post("echo", b"x", "fail"), 500, None),
        lambda g, i: (g.post("echo", os.urandom(1 << 10) * (i + 1), "meta"), 200, None),
    ]
    dice = random.Random(20)
    plan = [(dice.choice(kinds), i) for i in range(200)]
    with Gateway([echo(slots=2)]) as gateway:
        with ThreadPoolExecutor(16) as clients:
            results = list(clients.map(lambda step: step[0](gateway, step[1]), plan))
        for reply, status, body in results:
            equal(reply.status, status, f"status of {reply!r}")
            if body is not None:
                equal(sha256(reply.body), sha256(body), "the body's digest")
        gateway.served("echo", 200)
        slots = gateway.slots("echo")
        check(all(slot["requests"] > 0 for slot in slots), "both slots worked")
        equal(sum(slot["restarts"] for slot in slots), 0, "restarts")


def round_trip_with_curl(gateway, data, chunked):
    with tempfile.NamedTemporaryFile(dir=gateway.folder) as file:
        file.write(data)
        file.flush()
        headers = ["--header", "Content-Type: application/x-test", "--header", "Expect:"]
        if chunked:
            headers += ["--header", "Transfer-Encoding: chunked"]
        gateway.sent += 1
        status, fields, body = gateway.curl("/v1/pools/echo/invoke", "--data-binary", f"@{file.name}", *headers)
    equal(status, 200, f"status for {len(data)} bytes")
    equal(fields["content-type"], "application/x-test", "the content type comes back")
    equal((len(body), sha256(body)), (len(data), sha256(data)), "length and digest")


@test
def bodies_of_every_size_come_back_by_content_length():
    with Gateway([echo()]) as gateway:
        for size in SIZES.values():
            round_trip_with_curl(gateway, os.urandom(size), chunked=False)
        gateway.until_no_bytes("echo")


@test
def bodies_of_every_size_come_back_in_chunks():
    with Gateway([echo()]) as gateway:
        for size in SIZES.values():
            round_trip_with_curl(gateway, os.urandom(size), chunked=True)
        gateway.until_no_bytes("echo")


@test
def curl_waiting_for_100_continue_is_told_to_go_on():
    with Gateway([echo()]) as gateway:
        data = os.urandom(3 << 20)
        path = gateway.folder / "body"
        path.write_bytes(data)
        gateway.sent += 1
        began = time.monotonic()
        status, _, body = gateway.curl("/v1/pools/echo/invoke", "--data-binary", f"@{path}", "--header",
                                       "Expect: 100-continue", "--expect100-timeout", "30")
        equal((status, sha256(body)), (200, sha256(data)), "status and digest")
        check(time.monotonic() - began < patient(10), "curl did not wait for its own time limit")


@test
def a_large_reply_to_a_slow_reader_does_not_hold_the_slot():
    with Gateway([echo()]) as gateway:
        slow = gateway.send(gateway.raw_post("echo", operation=f"size:{30 << 20}"))
        slow.recv(1000)
        gateway.until_slot("echo", "ready", "idle")
        equal(gateway.post("echo", b"next").body, b"next", "another client's reply meanwhile")
        received = 1000
        with slow:
            while piece := slow.recv(1 << 20):
                received += len(piece)
        check(received > 30 << 20, f"the slow reader got all of it in the end: {received}")


@test
def a_client_that_sends_slowly_does_not_hold_a_slot():
    with Gateway([echo()]) as gateway:
        request = gateway.raw_post("echo", b"0123456789")
        sender = gateway.send(request[:-5])
        equal(gateway.post("echo", b"quick").body, b"quick", "another client's reply meanwhile")
        gateway.until_slot("echo", "ready", "idle")
        sender.sendall(request[-5:])
        equal(parse_reply(receive(sender)).body, b"0123456789", "the slow sender's reply")


@test
def requests_on_one_kept_connection_are_answered_in_order():
    with Gateway([echo(slots=2)]) as gateway:
        client = http.client.HTTPConnection(gateway.host, gateway.port, timeout=patient(20))
        for i in range(50):
            client.request("POST", "/v1/pools/echo/invoke", b"%d" % i)
            gateway.sent += 1
            equal(client.getresponse().read(), b"%d" % i, f"reply {i}")
        client.close()


@test
def pipelined_requests_are_answered_in_order():
    with Gateway([echo(slots=2)]) as gateway:
        pieces = []
        for i in range(10):
            last = i == 9
            operation = "delay:30" if i % 3 == 0 else "delay:1"
            pieces.append(request_bytes("POST", "/v1/pools/echo/invoke", b"piece %d;" % i, {
                "Poolgate-Operation": operation, "Connection": "close" if last else "keep-alive"}))
            gateway.sent += 1
        answer = receive(gateway.send(b"".join(pieces)))
        equal(answer.count(b"HTTP/1.1 200 "), 10, "replies")
        places = [answer.find(b"piece %d;" % i) for i in range(10)]
        check(places == sorted(places) and min(places) > 0, f"in order: {places}")


@test
def five_pools_at_once_do_not_disturb_each_other():
    names = ["ant", "bee", "cat", "dog"]
    pools = [echo(name) for name in names]
    pools.append(echo("slow-to-load", slots=1, args={"load_ms": 3000 * build.slack}))
    with Gateway(pools, wait="listening") as gateway:
        for name in names:
            gateway.until_slot(name, "ready", "idle")
        began = time.monotonic()

        def use(name):
            return [gateway.post(name, b"%s %d" % (name.encode(), i)) for i in range(50)]

        with ThreadPoolExecutor(len(names)) as clients:
            results = dict(zip(names, clients.map(use, names)))
        for name, replies in results.items():
            for i, reply in enumerate(replies):
                equal((reply.status, reply.body), (200, b"%s %d" % (name.encode(), i)), "reply")
                equal(reply.headers["Poolgate-Slot"], f"{name}/0", "the slot that answered")
        check(gateway.slot("slow-to-load")["state"] in ("spawning", "loading"),
              f"all done before the cold pool had loaded ({time.monotonic() - began:.2f} s)")
        gateway.until_slot("slow-to-load", "ready", "idle", within=5 + 3)
        equal(gateway.post("slow-to-load", b"late").body, b"late", "the cold pool, once warm")


@test
def two_thousand_requests_leave_no_descriptor_and_no_thread_behind():
    with Gateway([echo(slots=2)]) as gateway:
        def hammer(count):
            client = http.client.HTTPConnection(gateway.host, gateway.port, timeout=patient(20))
            for i in range(count):
                client.request("POST", "/v1/pools/echo/invoke", b"x" * (i % 2000))
                response = client.getresponse()
                equal((response.status, len(response.read())), (200, i % 2000), "status and length")
                if i % 10 == 9:
                    client.close()
            client.close()

        def round_of(count):
            threads = [threading.Thread(target=hammer, args=(count // 4,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            gateway.sent += count

        round_of(200)
        eventually(lambda: gateway.metrics().sum("poolgate_connections", frontend="http") <= 1,
                   about="the clients' connections are gone")
        before = gateway.descriptors(), gateway.threads()
        round_of(2000)
        eventually(lambda: abs(gateway.descriptors() - before[0]) <= 2, about=f"about {before[0]} descriptors again")
        equal(gateway.threads(), before[1], "threads")
        workers = [Path(f"/proc/{slot['pid']}/fd") for slot in gateway.slots("echo")]
        check(all(len(os.listdir(folder)) <= 12 for folder in workers), "the workers hold few descriptors")


main(__doc__)
