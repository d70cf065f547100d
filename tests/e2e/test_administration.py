#!/usr/bin/env python3
"""administration: pools are loaded, unloaded, drained, paused and scaled by who may; what was buried comes back"""

import json
import os
import signal

from gateway import SERVING, Gateway, echo, parse_reply, receive
from keyed import Keyed, Keys, refused
from support import check, equal, eventually, main, patient, test

PAUSE = "/v1/pools/echo/pause"


class Administered(Gateway):
    """A gateway with an admin.listen, and what is asked there."""

    def __init__(self, pools, **more):
        super().__init__(pools, conserve=False, admin={"listen": "127.0.0.1:0"}, **more)

    def admin(self, method, path, body=None, **more):
        public, self.port = self.port, int(self.events("listening")[0]["admin"].rsplit(":", 1)[1])
        try:
            return self.ask(method, path, json.dumps(body) if isinstance(body, dict) else body, **more)
        finally:
            self.port = public

    def order(self, act, pool="echo", body=None):
        reply = self.admin("POST", f"/v1/pools/{pool}/{act}", body)
        equal(reply.status, 200, f"{act}: {reply!r}")
        return reply.json()

    def asked(self, words):
        """The log lines of a pool's wishes that say so."""
        return eventually(lambda: [line for line in self.events("pool") if words in line.get("why", "")],
                          about=f"the log says: {words}")

    def buried(self, query=""):
        reply = self.admin("GET", f"/v1/quarantine{query}")
        equal(reply.status, 200, f"{reply!r}")
        return reply.json()

    def outcome(self, request_id):
        """What became of it, as soon as it is known."""
        def done():
            reply = self.get(f"/v1/requests/{request_id}")
            equal(reply.status, 200, f"{reply!r}")
            return reply.json() if reply.json()["state"] == "done" else None

        return eventually(done, about=f"{request_id} is done")["outcome"]


@test
def a_paused_pool_queues_and_a_resumed_one_answers():
    with Administered([echo()]) as gateway:
        equal(gateway.order("pause"), {"name": "echo", "wish": "pause", "slots": {"min": 1, "max": 1}}, "answer")
        equal(gateway.pool("echo")["wish"], "pause", "the state shows it at once")
        waiting = gateway.send(gateway.raw_post("echo", b"patient"))
        gateway.until_waiting("echo", 1)
        equal(gateway.order("pause")["wish"], "pause", "once more changes nothing")
        equal(gateway.order("resume")["wish"], "run", "resumed")
        reply = parse_reply(receive(waiting))
        equal((reply.status, reply.body), (200, b"patient"), "the one that waited")
        refused(gateway.post("echo", b"x", "fail"), 500, "worker_error")
        line = gateway.asked("pause, asked at admin.listen from 127.0.0.1")[0]
        equal((line["pool"], line["from"], line["to"]), ("echo", "run", "pause"), "the event")
        equal(len(gateway.asked("pause, asked")), 2, "lines, one for each time that it was asked for")


@test
def an_unloaded_pool_has_no_workers_until_it_is_loaded():
    with Administered([echo(slots=2), echo("other")]) as gateway:
        equal(gateway.order("unload")["wish"], "unload", "wish")
        refused(gateway.post("echo", b"x"), 503, "no_workers")
        gateway.until_slot("echo", "dead", index=0)
        gateway.until_slot("echo", "dead", index=1)
        equal(gateway.post("other", b"x").status, 200, "another pool")
        equal(gateway.order("load")["wish"], "run", "wish")
        gateway.until_slot("echo", *SERVING)
        equal(gateway.post("echo", b"x").status, 200, "it serves again")


@test
def a_drained_pool_finishes_what_it_has_and_refuses_what_is_new():
    with Administered([echo()]) as gateway:
        busy = gateway.send(gateway.raw_post("echo", b"last", f"delay:{int(patient(300))}"))
        gateway.until_processing("echo")
        equal(gateway.order("drain")["wish"], "drain", "wish")
        refused(gateway.post("echo", b"x"), 503, "shutting_down")
        equal(parse_reply(receive(busy)).body, b"last", "what it had")
        gateway.until_slot("echo", "dead")
        gateway.order("load")
        gateway.until_slot("echo", *SERVING)
        equal(gateway.post("echo", b"x").status, 200, "it serves again")


@test
def a_pool_moves_between_as_many_slots_as_it_is_told():
    with Administered([echo(slots=(1, 4))]) as gateway:
        equal(gateway.order("scale", body={"min": 3})["slots"], {"min": 3, "max": 4}, "more at least")
        eventually(lambda: sum(slot["state"] in SERVING for slot in gateway.slots("echo")) == 3, about="three slots serve")
        equal(gateway.order("scale", body={"min": 0, "max": 2})["slots"], {"min": 0, "max": 2}, "less at most")
        eventually(lambda: sum(slot["state"] in SERVING for slot in gateway.slots("echo")) == 2, about="two slots serve")
        equal(gateway.order("scale", body={"max": 1})["slots"], {"min": 0, "max": 1}, "one of them")
        gateway.asked("scale min=0 max=2, asked at admin.listen from 127.0.0.1")
        for body, words in ((b"", "not a JSON object"), (b"[1]", "not a JSON object"), (b"{}", '{"min": ..., "max": ...}'),
                            (b'{"max":2,"to":3}', "these"), (b'{"max":0}', "max is not a whole number from 1 to 4"),
                            (b'{"max":5}', "from 1 to 4, the pool's slots.max"), (b'{"min":-1}', "from 0 to 4"),
                            (b'{"min":"2"}', "whole number"), (b'{"min":3,"max":2}', "min is above max, which is 2"),
                            (b'{"min":2}', "min is above max, which is now 1"), (b'{"max":1,"max":2}', "not a JSON")):
            reply = gateway.admin("POST", "/v1/pools/echo/scale", body)
            refused(reply, 400, "invalid_request")
            check(words in reply.json()["detail"], f"{body}: {reply!r}")
        refused(gateway.admin("POST", "/v1/pools/echo/scale", b" " * 1025), 413, "payload_too_large")
        equal(gateway.pool("echo")["slots"]["max"], 1, "what was refused has changed nothing")


@test
def what_is_not_there_is_not_found():
    with Administered([echo()]) as gateway:
        for act in ("load", "unload", "drain", "pause", "resume", "scale"):
            refused(gateway.admin("POST", f"/v1/pools/nobody/{act}", b"{}"), 404, "no_such_pool")
            refused(gateway.admin("GET", f"/v1/pools/echo/{act}"), 405, "method_not_allowed")
            refused(gateway.ask("POST", f"/v1/pools/echo/{act}"), 404, "not_found")
        for method, path in (("POST", "/v1/quarantine/7/kick"), ("DELETE", "/v1/quarantine/7"),
                             ("DELETE", "/v1/quarantine/nonsense"), ("DELETE", "/v1/quarantine/" + "9" * 30)):
            refused(gateway.admin(method, path), 404, "no_such_request")
        refused(gateway.get("/v1/quarantine"), 404, "not_found")


@test
def only_who_may_administers():
    with Keys() as keys, Keyed(keys) as gateway:
        shown = {scope: keys.add(scope, scope=scope) for scope in ("invoke", "read", "admin")}
        gateway.until_seen(4)
        for method, path in (("POST", PAUSE), ("GET", "/v1/quarantine"), ("DELETE", "/v1/quarantine/1"),
                             ("POST", "/v1/quarantine/1/kick")):
            refused(gateway.ask(method, path, key=None), 401, "unauthenticated")
            for scope in ("invoke", "read"):
                refused(gateway.ask(method, path, key=shown[scope]), 403, "permission_denied")
        equal(gateway.pool("echo")["wish"], "run", "wish")
        equal(gateway.ask("POST", PAUSE, key=shown["admin"]).status, 200, "with the scope admin")
        equal(gateway.ask("GET", "/v1/quarantine", key=shown["admin"]).json(), {"quarantine": [], "next": None}, "list")
        eventually(lambda: any(line["why"].startswith("pause, asked by key admin from 127.0.0.1:") for line in gateway.events("pool")),
                   about="the log names the key")
    with Gateway([echo()], conserve=False) as gateway:
        refused(gateway.ask("POST", PAUSE), 403, "permission_denied")


def bury(gateway, operation="crash", body=b"deadly", **more):
    reply = gateway.post("echo", body, operation, **more)
    equal(reply.status, 422, f"{reply!r}")
    return reply.headers["X-Request-Id"]


@test
def the_evidence_of_what_was_buried_is_shown_page_by_page():
    with Administered([echo(slots=2, breaker={"failures": 100}), echo("other")]) as gateway:
        names = [bury(gateway, headers={"X-Request-Id": f"deadly-{i}", "Poolgate-Tenant": "accounting"}, priority="high")
                 for i in range(2)] + [bury(gateway, "exit:3")]
        page = gateway.buried()
        equal([grave["request_id"] for grave in page["quarantine"]], names, "in order")
        equal(page["next"], None, "next")
        grave = page["quarantine"][0]
        equal({key: grave[key] for key in ("pool", "tenant", "priority", "body_bytes", "body_kept", "kicked", "attempts")},
              {"pool": "echo", "tenant": "accounting", "priority": "high", "body_bytes": 6, "body_kept": True,
               "kicked": False, "attempts": 2}, "the first")
        check(len(grave["body_digest"]) == 32, f"digest: {grave}")
        equal([(crash["signal"], crash["exit_code"]) for crash in grave["crashes"]], [(6, None)] * 2, "how its workers died")
        last = page["quarantine"][2]
        equal([(crash["signal"], crash["exit_code"]) for crash in last["crashes"]], [(None, 3)] * 2, "of the last")
        equal(last["tenant"], None, "tenant of the last")
        first = gateway.buried("?limit=2")
        equal(([grave["request_id"] for grave in first["quarantine"]], first["next"]),
              (names[:2], page["quarantine"][1]["id"]), "a page of two")
        rest = gateway.buried(f"?limit=2&after={first['next']}")
        equal(([grave["request_id"] for grave in rest["quarantine"]], rest["next"]), (names[2:], None), "the next page")
        equal(gateway.buried("?pool=other"), {"quarantine": [], "next": None}, "of another pool")
        for query, words in (("?limit=0", "from 1 to 256"), ("?limit=257", "limit"), ("?after=x", "after")):
            reply = gateway.admin("GET", "/v1/quarantine" + query)
            refused(reply, 400, "invalid_request")
            check(words in reply.json()["detail"], f"{reply!r}")
        equal(gateway.admin("DELETE", f"/v1/quarantine/{last['id']}").status, 204, "one is deleted")
        refused(gateway.admin("DELETE", f"/v1/quarantine/{last['id']}"), 404, "no_such_request")
        equal(len(gateway.buried()["quarantine"]), 2, "two are left")
        eventually(lambda: any(line["to"] == "deleted" and "asked at admin.listen" in line["why"]
                               for line in gateway.events("quarantine")), about="the log says who deleted it")


def kick(gateway, grave):
    reply = gateway.admin("POST", f"/v1/quarantine/{grave['id']}/kick")
    equal(reply.status, 202, f"{reply!r}")
    fresh = reply.json()["request_id"]
    equal(reply.headers["Location"], f"/v1/requests/{fresh}", "Location")
    return fresh


@test
def a_kick_that_kills_again_is_buried_again():
    with Administered([echo(breaker={"failures": 100})]) as gateway:
        bury(gateway)
        fresh = kick(gateway, gateway.buried()["quarantine"][0])
        equal(gateway.outcome(fresh), "quarantined", "outcome")
        graves = eventually(lambda: [grave for grave in gateway.buried()["quarantine"] if grave["request_id"] == fresh],
                            about="it is buried again")
        equal((len(gateway.buried()["quarantine"]), graves[0]["body_bytes"]), (1, 6), "one grave, with the same body")
        eventually(lambda: any(line["to"] == "kicked" and "again " in line["why"] and "asked at admin.listen" in line["why"]
                               for line in gateway.events("quarantine")), about="the log says who kicked it")


def kill_while_it_runs(gateway, pid_before=None):
    """From outside, as if what runs there had done it. The worker's pid."""
    def another():
        slot = gateway.slot("echo")
        return slot["pid"] if slot["current"] and slot["pid"] != pid_before else None

    pid = eventually(another, about="a worker runs it")
    os.kill(pid, signal.SIGSEGV)
    return pid


@test
def a_kick_that_works_is_answered_and_the_grave_is_gone():
    with Administered([echo(breaker={"failures": 100})]) as gateway:
        unlucky = gateway.send(gateway.raw_post("echo", b"harmless", f"delay:{int(patient(400))}"))
        kill_while_it_runs(gateway, kill_while_it_runs(gateway))
        refused(parse_reply(receive(unlucky)), 422, "quarantined")
        grave = gateway.buried()["quarantine"][0]
        equal([crash["signal"] for crash in grave["crashes"]], [signal.SIGSEGV] * 2, "how its workers died")
        gateway.order("pause")
        fresh = kick(gateway, grave)
        look = gateway.get(f"/v1/requests/{fresh}").json()
        equal((look["state"], look["blocked_by"]), ("queued", "pause"), "a kicked one is found while it waits")
        refused(gateway.admin("POST", f"/v1/quarantine/{grave['id']}/kick"), 409, "already_exists")
        equal(gateway.buried()["quarantine"][0]["kicked"], True, "kicked")
        gateway.order("resume")
        equal(gateway.outcome(fresh), "ok", "outcome")
        equal(gateway.buried()["quarantine"], [], "the grave is empty")


main(__doc__)
