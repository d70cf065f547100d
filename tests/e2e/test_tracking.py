#!/usr/bin/env python3
"""tracking: where a request is and what became of it, asked by its id through either door; stop it"""

from gateway import Gateway, echo, parse_reply, receive
from grpc_node import CANCELLED, NOT_FOUND, OK, Answer, Node, every_call_is_released
from h2 import Http2, field
from keyed import Keyed, Keys, call, refused
from support import between, check, equal, eventually, main, patient, test

GET_REQUEST, CANCEL_REQUEST = "/poolgate.v1.Gateway/GetRequest", "/poolgate.v1.Gateway/CancelRequest"


def look(gateway, name, **more):
    reply = gateway.get(f"/v1/requests/{name}", **more)
    equal(reply.status, 200, f"{reply!r}")
    return reply.json()


def until(gateway, name, **wanted):
    """The request, as soon as it is as wanted."""
    def as_wanted():
        found = look(gateway, name)
        return found if all(found[key] == value for key, value in wanted.items()) else None

    return eventually(as_wanted, about=f"{name} is {wanted}")


def stop(gateway, name):
    reply = gateway.ask("DELETE", f"/v1/requests/{name}")
    equal(reply.status, 200, f"{reply!r}")
    return reply.json()


def begin(gateway, name, operation=None, pool="echo", **more):
    return gateway.send(gateway.raw_post(pool, b"x", operation, headers={"X-Request-Id": name}, **more))


def answered(connection):
    return parse_reply(receive(connection))


def some(found, *names):
    return tuple(found[name] for name in names)


@test
def where_requests_are_is_seen_by_their_ids():
    with Gateway([echo()], conserve=False) as gateway:
        for _ in range(5):
            gateway.post("echo", b"x", "delay:20")
        running = begin(gateway, "first", f"delay:{int(patient(600))}")
        found = until(gateway, "first", state="running")
        equal(some(found, "request_id", "pool", "priority", "place", "blocked_by", "outcome", "attempts", "shared"),
              ("first", "echo", "normal", None, None, None, 1, False), "the one that runs")
        check(found["began"] >= found["arrived"] and found["ended"] is None, f"times: {found}")
        staged = begin(gateway, "second")
        equal(until(gateway, "second", state="staged")["blocked_by"], "slots", "the one that was handed ahead")
        third, fourth = begin(gateway, "third", priority="low"), begin(gateway, "fourth", priority="low")
        found = until(gateway, "fourth", state="queued", place=2)
        equal(some(found, "priority", "blocked_by"), ("low", "slots"), "the last")
        check(found["expected_wait_ms"] > 0, f"expected wait: {found}")
        equal(look(gateway, "third")["place"], 1, "place of the one before it")
        for connection in (running, staged, third, fourth):
            equal(answered(connection).status, 200, "status")
        found = look(gateway, "first")
        equal(some(found, "state", "outcome", "place", "expected_wait_ms", "blocked_by"), ("done", "ok", None, None, None),
              "what became of it")
        between(500, found["timing_ms"]["run"], 60_000, "run time")
        refused(gateway.get("/v1/requests/never"), 404, "no_such_request")
        refused(gateway.get("/v1/requests/" + "x" * 200), 404, "no_such_request")


@test
def a_request_is_stopped_wherever_it_is():
    with Gateway([echo(), echo("cold", slots=(0, 1), args={"load_ms": int(patient(500))})], conserve=False) as gateway:
        running = begin(gateway, "running", "hang")
        gateway.until_processing("echo")
        staged, waiting = begin(gateway, "staged"), begin(gateway, "waiting", priority="batch")
        until(gateway, "waiting", state="queued", place=1)
        loading = begin(gateway, "loading", pool="cold")
        equal(until(gateway, "loading", state="loading")["blocked_by"], "loading", "what keeps it")
        for name, connection in (("waiting", waiting), ("staged", staged), ("loading", loading)):
            equal(some(stop(gateway, name), "state", "outcome"), ("done", "cancelled"), f"answer for {name}")
            refused(answered(connection), 499, "cancelled")
            equal(look(gateway, name)["outcome"], "cancelled", f"what became of {name}")
            equal(some(stop(gateway, name), "state", "outcome"), ("done", "cancelled"), f"{name} once more")
        equal(stop(gateway, "running")["outcome"], "cancelled", "answer for running")
        refused(answered(running), 499, "cancelled")
        refused(gateway.ask("DELETE", "/v1/requests/never"), 404, "no_such_request")
        gateway.until_slot("cold", "ready", "idle", within=10)
        equal(gateway.post("cold", b"x").status, 200, "the load went on for the next one")


@test
def what_is_done_stays_done():
    with Gateway([echo()], conserve=False) as gateway:
        gateway.post("echo", b"x", headers={"X-Request-Id": "good"})
        gateway.post("echo", b"x", "fail", headers={"X-Request-Id": "bad"})
        equal(stop(gateway, "good")["outcome"], "ok", "a stop comes too late")
        equal(look(gateway, "bad")["outcome"], "worker_error", "outcome")


@test
def what_keeps_a_request_is_told():
    pools = [echo(breaker={"failures": 1, "open": "600s"}, slots=1), echo("paused"), echo("cold", slots=(0, 1), args={"load_ms": 400})]
    with Gateway(pools, conserve=False, admin={"listen": "127.0.0.1:0"}) as gateway:
        public, gateway.port = gateway.port, int(gateway.events("listening")[0]["admin"].rsplit(":", 1)[1])
        equal(gateway.ask("POST", "/v1/pools/paused/pause").status, 200, "pause")
        gateway.port = public
        paused = begin(gateway, "one", pool="paused")
        found = until(gateway, "one", state="queued")
        equal(some(found, "blocked_by", "expected_wait_ms"), ("pause", None), "while paused")
        loading = begin(gateway, "two", pool="cold")
        found = until(gateway, "two", state="loading")
        equal(some(found, "blocked_by", "expected_wait_ms"), ("loading", None), "while loading")
        running = begin(gateway, "three", f"delay:{int(patient(300))}")
        gateway.until_processing("echo")
        failing, behind = begin(gateway, "four", "crash", priority="high"), begin(gateway, "five")
        found = until(gateway, "five", state="done")
        equal(some(found, "outcome", "attempts"), ("circuit_open", 0), "what waited when the breaker opened")
        refused(answered(behind), 503, "circuit_open")
        refused(gateway.post("echo", b"x", headers={"X-Request-Id": "six"}), 503, "circuit_open")
        refused(gateway.get("/v1/requests/six"), 404, "no_such_request")  # it was let in nowhere
        stop(gateway, "one")
        refused(answered(paused), 499, "cancelled")
        equal([answered(c).status for c in (loading, running)], [200, 200], "the others")
        check(answered(failing).status in (502, 503), "the one that killed")


@test
def a_request_of_one_door_is_found_at_the_other():
    with Gateway([echo()], conserve=False) as gateway, Node(gateway) as node:
        over_grpc = node.begin(operation="hang", request_id="over-grpc")
        gateway.until_processing("echo")
        over_http = begin(gateway, "over-http", priority="low")
        equal(until(gateway, "over-grpc", state="running")["pool"], "echo", "gRPC's, asked over HTTP")
        answer = node.state("GetRequest", request_id="over-http")
        equal(answer.status, OK, f"{answer}")
        twin = look(gateway, "over-http")
        equal(some(answer.reply, "request_id", "state", "pool", "priority", "blocked_by", "outcome", "arrived"),
              (*some(twin, "request_id", "state", "pool", "priority", "blocked_by"), "", twin["arrived"]),
              "HTTP's, asked over gRPC")
        taken = parse_reply(receive(gateway.send(gateway.raw_post("nobody", b"x", headers={"X-Request-Id": "over-grpc"}))))
        check(taken.headers["X-Request-Id"] != "over-grpc", "one name for two requests")
        answer = node.state("CancelRequest", request_id="over-http")
        equal((answer.status, *some(answer.reply, "state", "outcome")), (OK, "done", "cancelled"), f"{answer}")
        refused(answered(over_http), 499, "cancelled")
        equal(stop(gateway, "over-grpc")["outcome"], "cancelled", "stopped over HTTP")
        answer = Answer(node.finish(over_grpc))
        equal((answer.status, answer.code), (CANCELLED, "cancelled"), "gRPC's client")
        answer = node.state("GetRequest", request_id="over-grpc")
        equal(some(answer.reply, "state", "outcome"), ("done", "cancelled"), "afterwards")
        check(answer.reply["timing"]["attempts"] == 1 and answer.reply["ended"], f"timing: {answer}")
        for name in ("never", "x" * 200, ""):
            answer = node.state("GetRequest", request_id=name)
            equal((answer.status, answer.code), (NOT_FOUND, "no_such_request"), f"{answer}")
        every_call_is_released(gateway)


@test
def anothers_request_is_not_there():
    with Keys() as keys, Keyed(keys, [echo()]) as gateway, Http2(gateway) as client:
        mine, theirs = keys.add("mine", tenant="mine"), keys.add("theirs", tenant="theirs")
        reader, admin = keys.add("reader", scope="read"), keys.add("admin", tenant="ops", scope="invoke,admin")
        gateway.until_seen(5)
        headers = {"X-Request-Id": "secret", "Authorization": f"Bearer {mine}"}
        running = gateway.send(gateway.raw_post("echo", b"x", "hang", headers=headers))
        gateway.until_processing("echo")
        path, message = "/v1/requests/secret", field(1, "secret")

        def asked(key):
            answer = call(client, GET_REQUEST, message, key)
            return gateway.ask("GET", path, key=key).code, answer.code

        equal(asked(mine), ("ok", "ok"), "one's own")
        equal(asked(admin), ("ok", "ok"), "an administrator")
        equal(asked(theirs), ("no_such_request", "no_such_request"), "another tenant")
        equal(asked(reader), ("permission_denied", "permission_denied"), "who may only read")
        equal(asked(None), ("unauthenticated", "unauthenticated"), "nobody")
        refused(gateway.ask("DELETE", path, key=theirs), 404, "no_such_request")
        equal(call(client, CANCEL_REQUEST, message, theirs).code, "no_such_request", "over gRPC as well")
        equal(gateway.ask("GET", path, key=mine).json()["state"], "running", "it runs on")
        equal(gateway.ask("DELETE", path, key=mine).status, 200, "its own tenant stops it")
        refused(answered(running), 499, "cancelled")
        equal(asked(theirs), ("no_such_request", "no_such_request"), "another tenant, afterwards")
        equal(asked(mine), ("ok", "ok"), "one's own, afterwards")


main(__doc__)
