#!/usr/bin/env python3
"""access log: a line for every request at its end, with one outcome, on both doors, and no secret in it"""

import json
import re
import time

from gateway import Gateway, echo
from grpc_node import OK, Node
from support import between, check, equal, eventually, main, patient, test

SECRET = "correct-horse-battery-staple"


def logging(pools, **more):
    return Gateway(pools, log={"access": True, **more.pop("log", {})}, **more)


def lines(gateway, count, **wanted):
    """The lines of requests that have these fields, once there are so many."""
    def found():
        return [line for line in gateway.events("request") if all(line.get(k) == v for k, v in wanted.items())]

    eventually(lambda: len(found()) >= count, about=f"{count} lines with {wanted}")
    time.sleep(patient(0.02))
    equal(len(found()), count, f"lines with {wanted}")
    return found()


@test
def a_request_is_a_line_with_what_its_reply_says():
    with logging([echo()]) as gateway:
        headers = {"X-Request-Id": "mine-1", "Poolgate-Tenant": "acme",
                   "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        reply = gateway.post("echo", b"hello", operation="delay:20", priority="low", headers=headers)
        line, = lines(gateway, 1, pool="echo")
        for field in ("time", "total_ms", "client"):
            line[field] = bool(line[field])
        timing = {f"{name}_ms": f"{milliseconds:.3f}" for name, milliseconds in reply.timing.items()}
        equal(line, {"time": True, "level": "info", "msg": "request", "frontend": "http", "method": "POST",
                     "route": "/v1/pools/{pool}/invoke", "pool": "echo", "request_id": "mine-1", "tenant": "acme",
                     "priority": "low", "code": "ok", "status": "200", "bytes_in": "5", "bytes_out": "5", **timing,
                     "total_ms": True, "slot": "echo/0", "attempts": "1",
                     "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "client": True}, "the line")


@test
def every_end_has_its_code():
    pools = [echo(retry={"crashes": 0}), echo("small", queue={"capacity": 1, "bytes": "1KiB"})]
    with logging(pools, http={"max_body": "4KiB"}) as gateway:
        ends = [(gateway.post("echo", b"x"), "ok", 200),
                (gateway.post("echo", b"x", operation="fail"), "worker_error", 500),
                (gateway.post("echo", b"x", operation="crash"), "worker_crashed", 502),
                (gateway.post("echo", b"x", operation="delay:60000", timeout_ms=50), "deadline_exceeded", 504),
                (gateway.post("echo", b"x" * 5000), "payload_too_large", 413),
                (gateway.post("echo", b"x", priority="none"), "invalid_request", 400),
                (gateway.post("small", b"x" * 2000), "queue_full", 503),
                (gateway.ask("POST", "/v1/pools/other/invoke", b"x"), "no_such_pool", 404),
                (gateway.ask("PUT", "/v1/pools", b"x"), "method_not_allowed", 405),
                (gateway.get("/nowhere"), "not_found", 404)]
        for reply, code, status in ends:
            equal((reply.code, reply.status), (code, status), "the reply")
            line, = lines(gateway, 1, request_id=reply.headers["X-Request-Id"])
            equal((line["code"], line["status"]), (code, str(status)), "its line")
            equal(int(line["bytes_out"]), len(reply.body), f"bytes_out of {code}")


@test
def a_client_that_leaves_is_a_line_too():
    with logging([echo()]) as gateway:
        connection = gateway.send(gateway.raw_post("echo", b"x", operation="delay:60000"))
        gateway.until_processing("echo")
        connection.close()
        line, = lines(gateway, 1, pool="echo")
        equal(line["code"], "cancelled", "code")
        half = gateway.connect()
        half.sendall(b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        gateway.sent += 1
        time.sleep(patient(0.1))
        half.close()
        line = lines(gateway, 2, pool="echo", code="cancelled")[1]
        equal((line["bytes_in"], line["attempts"]), ("4", "0"), "of the body that never came")


@test
def calls_are_lines_of_the_same_form():
    with logging([echo()]) as gateway, Node(gateway) as node:
        equal(node.invoke(payload=b"hello", request_id="call-1", tenant="acme").status, OK, "status")
        line, = lines(gateway, 1, request_id="call-1")
        equal((line["frontend"], line["method"], line["pool"], line["tenant"], line["code"], line["status"]),
              ("grpc", "poolgate.v1.Gateway/Invoke", "echo", "acme", "ok", "0"), "the line")
        check(line["client"].startswith("127.0.0.1:"), line["client"])
        node.invoke("echo", b"x", operation="fail")
        line, = lines(gateway, 1, code="worker_error")
        equal((line["status"], line["attempts"]), ("13", "1"), "status and attempts")
        node.invoke("other", b"x")
        line, = lines(gateway, 1, code="no_such_pool")
        equal(line["status"], "5", "status")
        node.raw("/poolgate.v1.Gateway/Nothing")
        line, = lines(gateway, 1, method="poolgate.v1.Gateway/Nothing")
        equal(line["status"], "12", "status")


@test
def nothing_of_bodies_tokens_and_queries_is_in_it():
    with logging([echo()], log={"format": "json", "level": "debug"}) as gateway:
        headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}", "X-Api-Key": SECRET,
                   "Poolgate-Meta-Key": SECRET, "Poolgate-Batch-Key": SECRET}
        gateway.post("echo", SECRET.encode(), headers=headers)
        gateway.ask("GET", f"/v1/pools?key={SECRET}", headers=headers)
        lines(gateway, 1, route="/v1/pools")
        check(SECRET not in gateway.log_text(), "the secret is in the log")


@test
def whatever_a_client_writes_a_line_is_a_line():
    with logging([echo()], log={"format": "json"}) as gateway:
        for target in ("/%0a%22level%22:%22alert%22", "/\"},{\"a\":\"", "/" + "a" * 1900, "/caf\xc3\xa9"):
            data = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: \"}}\\\r\nConnection: close\r\n\r\n".encode("latin-1")
            with gateway.send(data) as connection:
                while connection.recv(65536):
                    pass
        eventually(lambda: len([r for r in gateway.events("request") if r["method"] == "GET" and r["status"] >= 400]) >= 3,
                   about="the lines")
        for text in gateway.log_text().splitlines():
            check(isinstance(json.loads(text), dict), text)


@test
def probes_are_lines_only_in_detail():
    with logging([echo()]) as gateway:
        gateway.get("/livez")
        gateway.get("/metrics")
        gateway.get("/v1/pools")
        lines(gateway, 1, route="/v1/pools")
        equal([line for line in gateway.events("request") if re.search("z$|metrics", line["route"])], [], "lines of probes")


@test
def without_the_key_there_are_none():
    with Gateway([echo()]) as gateway:
        gateway.post("echo", b"x")
        equal(gateway.events("request"), [], "lines")


@test
def a_refusal_has_a_time_of_its_own():
    with logging([echo()]) as gateway:
        gateway.post("echo", b"x", priority="none")
        gateway.post("echo", b"x", operation="fail")
        eventually(lambda: gateway.metrics().sum("poolgate_rejected_seconds_count") >= 1, about="a refusal is counted")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_rejected_seconds_count", pool="echo", code="invalid_request"), 1, "refusals")
        equal(numbers.sum("poolgate_rejected_seconds_count"), 1, "what a worker had is none")
        between(0, numbers.sum("poolgate_rejected_seconds_sum", pool="echo"), patient(1), "its time")


main(__doc__)
