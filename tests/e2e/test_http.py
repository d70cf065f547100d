#!/usr/bin/env python3
"""http: errors as problems, headers in and out, hostile bytes, limits"""

import socket
import tempfile

from gateway import Gateway, echo, parse_reply, receive, request_bytes
from support import between, check, equal, eventually, main, patient, test

PROBLEM_MEMBERS = {"type": str, "title": str, "status": int, "detail": str, "instance": str, "code": str,
                   "request_id": str, "source": str}


def is_problem(reply, status, code, source="gateway"):
    """RFC 9457, with the contract's members."""
    equal((reply.status, reply.headers["Content-Type"]), (status, "application/problem+json"), f"of {reply!r}")
    problem = reply.json()
    for member, kind in PROBLEM_MEMBERS.items():
        check(isinstance(problem.get(member), kind), f"{member} is {problem.get(member)!r} in {problem}")
    equal((problem["status"], problem["code"], problem["source"]), (status, code, source), "the problem")
    equal(problem["request_id"], reply.headers["X-Request-Id"], "request_id against X-Request-Id")
    equal("Retry-After" in reply.headers, status in (429, 503), "Retry-After")
    equal("retry_after_ms" in problem and problem["retry_after_ms"] is not None, status in (429, 503), "retry_after_ms")
    return problem


@test
def every_kind_of_error_is_a_problem_document():
    pools = [echo(retry={"crashes": 0}), echo("full", queue={"capacity": 0 + 1, "reserve": "0%"})]
    with Gateway(pools, conserve=False, http={"max_body": "1MiB"}) as gateway:
        is_problem(gateway.post("echo", b"x", "invalid"), 400, "invalid_request", "worker")
        is_problem(gateway.post("echo", b"x", timeout_ms="soon"), 400, "invalid_request")
        is_problem(gateway.post("echo", b"x", priority="urgent"), 400, "invalid_request")
        is_problem(gateway.post("nobody", b"x"), 404, "no_such_pool")
        is_problem(gateway.get("/v1/pools/nobody"), 404, "no_such_pool")
        is_problem(gateway.get("/v1/pools/nobody/slots"), 404, "no_such_pool")
        is_problem(gateway.get("/no/such/path"), 404, "not_found")
        wrong = gateway.get("/v1/pools/echo/invoke")
        is_problem(wrong, 405, "method_not_allowed")
        check("POST" in wrong.headers["Allow"], f"Allow: {wrong.headers['Allow']}")
        wrong = gateway.ask("DELETE", "/v1/pools")
        is_problem(wrong, 405, "method_not_allowed")
        check("GET" in wrong.headers["Allow"], f"Allow: {wrong.headers['Allow']}")
        is_problem(gateway.post("echo", b"x" * ((1 << 20) + 1)), 413, "payload_too_large")
        is_problem(gateway.post("echo", b"x", "no-such-operation"), 415, "unsupported_media_type", "worker")
        is_problem(gateway.post("echo", b"x", "fail"), 500, "worker_error", "worker")
        is_problem(gateway.post("echo", b"x", "crash"), 502, "worker_crashed", "worker")
        is_problem(gateway.post("echo", b"x", "delay:30000", timeout_ms=200), 504, "deadline_exceeded")
        held = [gateway.send(gateway.raw_post("full", b"x", f"delay:{int(patient(800))}"))]
        gateway.until_slot("full", "processing")
        held.append(gateway.send(gateway.raw_post("full", b"x")))
        gateway.until_waiting("full", 1)
        problem = is_problem(gateway.post("full", b"x"), 503, "queue_full")
        between(1, problem["retry_after_ms"], 60_000, "retry_after_ms")
        for connection in held:
            equal(parse_reply(receive(connection)).status, 200, "an accepted one")


@test
def what_the_worker_says_about_an_error_reaches_the_client():
    with Gateway([echo()]) as gateway:
        check("failed as asked" in gateway.post("echo", b"x", "fail").json()["detail"], "the worker's words")
        check("invalid as asked" in gateway.post("echo", b"x", "invalid").json()["detail"], "the worker's words")


@test
def bad_values_in_the_gateways_own_headers_are_refused():
    with Gateway([echo()], conserve=False) as gateway:
        for value in ("0x10", "-1", "1.5", "1e3", "", "0", "12 34"):
            reply = gateway.post("echo", b"x", headers={"Poolgate-Timeout-Ms": value})
            equal((reply.status, reply.code), (400, "invalid_request"), f"Poolgate-Timeout-Ms: {value!r}")
        gateway.served("echo", 0)


# --- headers -----------------------------------------------------------------------------------------


@test
def a_reply_says_who_made_it_and_how_long_it_took():
    with Gateway([echo()]) as gateway:
        reply = gateway.post("echo", b"x", "delay:50", headers={"Content-Type": "text/x-test; charset=utf-8"})
        equal(reply.headers["Content-Type"], "text/x-test; charset=utf-8", "content type")
        equal(reply.headers["Poolgate-Slot"], "echo/0", "Poolgate-Slot")
        equal(reply.headers["Poolgate-Attempts"], "1", "Poolgate-Attempts")
        equal(set(reply.timing), {"queue", "cold", "run"}, "parts of Server-Timing")
        between(50, reply.timing["run"], reply.seconds * 1000, "run time in ms")
        check(sum(reply.timing.values()) <= reply.seconds * 1000 + 1, f"{reply.timing} within {reply.seconds}")
        check(len(reply.headers["X-Request-Id"]) >= 8, "a request id was made")


@test
def the_time_in_the_queue_is_told():
    with Gateway([echo()]) as gateway:
        holder = gateway.send(gateway.raw_post("echo", b"x", "delay:400"))
        gateway.until_slot("echo", "processing")
        reply = gateway.post("echo", b"y")
        between(50, reply.timing["queue"], patient(500), "queue time in ms")
        equal(parse_reply(receive(holder)).status, 200, "the holder")


@test
def the_clients_request_id_is_used_while_no_live_request_has_it():
    with Gateway([echo(slots=2)]) as gateway:
        own = {"X-Request-Id": "order-66.a_b"}
        equal(gateway.post("echo", b"x", headers=own).headers["X-Request-Id"], "order-66.a_b", "the id")
        holder = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(500))}", headers=own))
        slot = gateway.until_slot("echo", "processing", index=0) if gateway.slot("echo")["state"] == "processing" \
            else eventually(lambda: next((s for s in gateway.slots("echo") if s["state"] == "processing"), None))
        equal(slot["current"]["request_id"], "order-66.a_b", "the slot's current request")
        twin = gateway.post("echo", b"x", headers=own).headers["X-Request-Id"]
        check(twin and twin != "order-66.a_b", f"a fresh id for the twin of a live request: {twin}")
        equal(parse_reply(receive(holder)).headers["X-Request-Id"], "order-66.a_b", "the first keeps it")
        equal(gateway.post("echo", b"x", headers=own).headers["X-Request-Id"], "order-66.a_b", "free again")
        ids = {gateway.post("echo", b"x").headers["X-Request-Id"] for _ in range(50)}
        equal(len(ids), 50, "fifty made ids are fifty different ones")


@test
def an_unfit_request_id_is_not_used():
    with Gateway([echo()], conserve=False) as gateway:
        for bad in ("x" * 129, "two words", "caf\xe9"):
            reply = parse_reply(receive(gateway.send(gateway.raw_post("echo", b"x", headers={"X-Request-Id": bad}))))
            check(reply.headers["X-Request-Id"] != bad, f"not {bad[:20]!r}")
            check(reply.status in (200, 400), f"status {reply.status}")


@test
def metadata_of_a_reply_travels_as_headers():
    with Gateway([echo()]) as gateway:
        reply = gateway.post("echo", b"x", "meta")
        equal((reply.headers["Poolgate-Meta-echo-slot"], reply.body), ("0", b"x"), "metadata and body")


@test
def head_and_unknown_methods_are_harmless():
    with Gateway([echo()]) as gateway:
        head = gateway.ask("HEAD", "/livez")
        check(head.status in (200, 405) and head.body == b"", f"HEAD: {head!r}")
        equal(gateway.ask("BREW", "/v1/pools/echo/invoke").status, 501, "an unknown method")
        equal(gateway.get("/livez").status, 200, "afterwards")


# --- limits ------------------------------------------------------------------------------------------


@test
def a_body_above_the_limit_is_refused_and_one_at_the_limit_is_not():
    limit = 1 << 20
    with Gateway([echo()], http={"max_body": "1MiB"}, conserve=False) as gateway:
        for size, status in ((limit, 200), (limit + 1, 413), (4 * limit, 413)):
            with tempfile.NamedTemporaryFile(dir=gateway.folder) as file:
                file.truncate(size)
                for extra in ([], ["--header", "Transfer-Encoding: chunked"]):
                    code, fields, body = gateway.curl("/v1/pools/echo/invoke", "--data-binary", f"@{file.name}",
                                                      "--header", "Expect:", *extra)
                    equal(code, status, f"{size} bytes {'in chunks' if extra else 'by Content-Length'}")
                    equal(len(body) == size, status == 200, "the whole body came back")
        gateway.served("echo", 2)
        gateway.until_no_bytes("echo")


@test
def a_body_that_is_announced_too_large_is_refused_before_it_is_sent():
    with Gateway([echo()], conserve=False) as gateway:
        head = request_bytes("POST", "/v1/pools/echo/invoke", headers={"Content-Length": str(10 << 30)})
        reply = parse_reply(receive(gateway.send(head)))
        equal((reply.status, reply.code), (413, "payload_too_large"), "the answer to the announcement")


@test
def a_client_that_never_finishes_its_headers_is_cut_off():
    with Gateway([echo()], http={"header_timeout": f"{int(patient(1))}s"}) as gateway:
        connection = gateway.send(b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: gate")
        connection.settimeout(patient(6))
        answer = receive(connection)
        check(b" 200 " not in answer, f"no success for half a header: {answer[:80]}")
        equal(gateway.post("echo", b"x").status, 200, "another client meanwhile")


# --- hostile bytes -----------------------------------------------------------------------------------

HIDDEN = request_bytes("POST", "/v1/pools/echo/invoke", b"smuggled")
TARGET = b"POST /v1/pools/echo/invoke HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
LENGTH = b"Content-Length: %d\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"0\r\n\r\n" + HIDDEN  # as chunks it ends at once; as a length it is all body

SMUGGLING = {
    "a length and chunks": TARGET + HOST + LENGTH % len(BODY) + CHUNKED + b"\r\n" + BODY,
    "chunks and a length": TARGET + HOST + CHUNKED + LENGTH % len(BODY) + b"\r\n" + BODY,
    "chunks and a short length": TARGET + HOST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n" + BODY,
    "two different lengths": TARGET + HOST + b"Content-Length: 0\r\n" + LENGTH % len(HIDDEN) + b"\r\n" + HIDDEN,
    "the same length twice": TARGET + HOST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a list of lengths": TARGET + HOST + b"Content-Length: 0, 0\r\n\r\n" + HIDDEN,
    "a signed length": TARGET + HOST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": TARGET + HOST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": TARGET + HOST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "an empty length": TARGET + HOST + b"Content-Length:\r\n\r\n" + HIDDEN,
    "a space before the length's colon": TARGET + HOST + b"Content-Length : %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a space before the colon of chunked": TARGET + HOST + b"Transfer-Encoding : chunked\r\n\r\n" + HIDDEN,
    "chunked twice": TARGET + HOST + CHUNKED + CHUNKED + b"\r\n" + BODY,
    "an unknown transfer encoding": TARGET + HOST + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "gzip and chunked": TARGET + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + BODY,
    "identity": TARGET + HOST + b"Transfer-Encoding: identity\r\n\r\n" + HIDDEN,
    "chunked on HTTP/1.0": TARGET.replace(b"1.1", b"1.0") + HOST + CHUNKED + b"\r\n" + BODY,
    "no host": TARGET + b"Content-Length: 0\r\n\r\n" + HIDDEN,
    "two hosts": TARGET + HOST + b"Host: other\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a header name with a parenthesis": TARGET + HOST + b"X(Y): 1\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a header name with a slash": TARGET + HOST + b"X/Y: 1\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a header name with a byte above ASCII": TARGET + HOST + b"X\xe9: 1\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a control byte in a value": TARGET + HOST + b"X-A: a\x01b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a method that is no token": TARGET.replace(b"POST", b"PO(ST") + HOST + b"Content-Length: 0\r\n\r\n" + HIDDEN,
}


@test
def smuggled_requests_are_refused_and_never_run():
    with Gateway([echo()], conserve=False) as gateway:
        equal(gateway.post("echo", b"x").status, 200, "an honest request")
        gateway.served("echo", 1)
        wrong = []
        for name, data in SMUGGLING.items():
            connection = gateway.send(data)
            connection.settimeout(patient(5))
            try:
                answer = receive(connection)
            except socket.timeout:
                wrong.append(f"{name}: the connection stays open")
                continue
            status = answer.split(b"\r\n")[0]
            if b" 400 " not in status and b" 501 " not in status:  # 501: a coding that nobody here knows
                wrong.append(f"{name}: {status!r}")
            if b"smuggled" in answer or b" 200 " in answer:
                wrong.append(f"{name}: the hidden request was answered")
            ran = gateway.metrics().sum("poolgate_requests_total", code="ok"), gateway.slot("echo")["requests"]
            if ran != (1, 1):
                wrong.append(f"{name}: the hidden request ran {ran}")
                break
        check(not wrong, "\n  " + "\n  ".join(wrong))
        gateway.served("echo", 1)
        equal(gateway.post("echo", b"x").status, 200, "an honest request afterwards")


@test
def junk_instead_of_http_ends_that_connection_only():
    with Gateway([echo()], conserve=False, http={"header_timeout": f"{int(patient(1))}s"}) as gateway:
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100,
                     b"\r\n" * 50, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000):
            connection = gateway.connect()
            try:
                connection.sendall(junk)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(patient(5))
                answer = receive(connection)
                check(b"HTTP/1.1 200" not in answer, f"{junk[:20]!r} was not served: {answer[:60]!r}")
            except socket.timeout:
                raise AssertionError(f"the connection stays open after {junk[:20]!r}") from None
            except OSError:
                pass  # it was cut while we were still talking
            equal(gateway.get("/livez").status, 200, f"alive after {junk[:20]!r}")


@test
def odd_paths_find_nothing():
    with Gateway([echo()], conserve=False) as gateway:
        for path in ("/v1/pools/%2e%2e/etc", "/v1/pools/echo%00/invoke", "//v1/pools", "/v1/pools/../../etc/passwd",
                     "/v1/pools/echo/invoke/", "/V1/pools", "/v1/pools/" + "a" * 3000):
            status = parse_reply(receive(gateway.send(request_bytes("GET", path)))).status
            check(status in (400, 404, 414), f"{path[:40]}: {status}")


main(__doc__)
