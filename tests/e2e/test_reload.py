#!/usr/bin/env python3
"""reload: SIGHUP touches only the pools that changed, drops no request, and refuses what is wrong"""

import http.client
import json
import signal
import threading
import time

from gateway import Gateway, echo, parse_reply, receive
from grpc_node import NOT_FOUND, OK, Answer, Node, code_count, every_call_is_released
from support import between, check, equal, eventually, main, patient, test


class Load:
    """Clients on kept connections that post one after the other; every answer that is not 200 is kept."""

    def __init__(self, gateway, pools, clients=4, operation=None):
        self.gateway, self.pools, self.operation = gateway, pools, operation
        self.over, self.lock = threading.Event(), threading.Lock()
        self.answered, self.wrong = 0, []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.gateway.sent += self.answered

    def _run(self, number):
        client = http.client.HTTPConnection(self.gateway.host, self.gateway.port, timeout=patient(60))
        headers = {"Poolgate-Operation": self.operation} if self.operation else {}
        while not self.over.is_set():
            pool = self.pools[number % len(self.pools)]
            number += 1
            body = b"%d" % number
            client.request("POST", f"/v1/pools/{pool}/invoke", body, headers)
            response = client.getresponse()
            reply = response.read()
            with self.lock:
                self.answered += 1
                if (response.status, reply) != (200, body):
                    self.wrong.append((response.status, reply))
        client.close()

    def until(self, more):
        aim = self.answered + more
        eventually(lambda: self.answered >= aim, within=30, about=f"{more} more answers")


def write(gateway, pools=None, **sections):
    """Other pools, or other sections, in the gateway's file."""
    config = json.loads(gateway.config_file.read_text())
    if pools is not None:
        config["pools"] = [gateway._marked(pool) for pool in pools]
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    gateway.config_file.write_text(json.dumps(config, indent=2) + "\n")


def reload(gateway, pools=None, **sections):
    """Writes, sends SIGHUP, and waits for what the gateway says of it."""
    before = len(gateway.events("reloaded"))
    write(gateway, pools, **sections)
    gateway.signal(signal.SIGHUP)
    eventually(lambda: len(gateway.events("reloaded")) > before, about="the gateway has reloaded")
    said = gateway.events("reloaded")[-1]
    return {name: int(said[name]) for name in ("added", "changed", "removed", "unchanged", "restarted")}


def counts(added=0, changed=0, removed=0, unchanged=0, restarted=0):
    return {"added": added, "changed": changed, "removed": removed, "unchanged": unchanged, "restarted": restarted}


def pids(gateway, pool):
    return sorted(slot["pid"] for slot in gateway.slots(pool) if slot["pid"] != 0)


def names(gateway):
    return [pool["name"] for pool in gateway.json("/v1/pools")["pools"]]


@test
def the_same_file_again_touches_nothing():
    with Gateway([echo("a", slots=2), echo("b")]) as gateway:
        gateway.post("a", b"x")
        gateway.served("a", 1)
        before = pids(gateway, "a"), pids(gateway, "b")
        equal(reload(gateway), counts(unchanged=2), "what is said")
        equal((pids(gateway, "a"), pids(gateway, "b")), before, "workers")
        gateway.served("a", 1)


@test
def a_good_reload_under_load_drops_nothing_and_keeps_the_workers_of_other_pools():
    with Gateway([echo("still", slots=2), echo("moving", slots=2)]) as gateway:
        still, moving = pids(gateway, "still"), pids(gateway, "moving")
        with Load(gateway, ["still", "moving"], clients=8) as load:
            load.until(200)
            for generation in range(5):
                said = reload(gateway, [echo("still", slots=2), echo("moving", slots=2, args={"load_ms": generation + 1})])
                equal(said, counts(changed=1, unchanged=1, restarted=1), "what is said")
                load.until(100)
            load.until(200)
        equal(load.wrong, [], "answers that are not what was sent")
        equal(pids(gateway, "still"), still, "workers of the pool that did not change")
        check(not set(pids(gateway, "moving")) & set(moving), "the changed pool has other workers")
        eventually(lambda: len(gateway.marked_processes()) == 4, about="the old workers are gone")


@test
def a_request_that_runs_in_a_changed_pool_is_finished_by_its_old_worker():
    with Gateway([echo()]) as gateway:
        old = pids(gateway, "echo")
        busy = gateway.send(gateway.raw_post("echo", b"busy", f"delay:{int(patient(1500))}"))
        gateway.until_slot("echo", "processing")
        waiting = gateway.send(gateway.raw_post("echo", b"waiting"))
        gateway.until_waiting("echo", 1)
        reload(gateway, [echo(args={"load_ms": 1})])
        equal(gateway.post("echo", b"new").body, b"new", "a new request has another worker meanwhile")
        check(pids(gateway, "echo") != old and set(old) <= set(gateway.marked_processes()), "the old worker lives")
        equal((parse_reply(receive(busy)).body, parse_reply(receive(waiting)).body), (b"busy", b"waiting"), "replies")
        eventually(lambda: not set(old) & set(gateway.marked_processes()), about="the old worker is gone")
        equal(gateway.counted(), 3, "requests counted under the one name")


@test
def a_body_that_comes_while_its_pool_is_replaced_or_removed_is_still_served():
    with Gateway([echo("a"), echo("b")]) as gateway:
        halves = []
        for pool in ("a", "b"):
            data = gateway.raw_post(pool, b"0123456789")
            connection = gateway.send(data[:-5])
            halves.append((connection, data[-5:]))
        time.sleep(patient(0.1))
        equal(reload(gateway, [echo("a", args={"load_ms": 1})]), counts(changed=1, removed=1, restarted=1), "said")
        for connection, rest in halves:
            connection.sendall(rest)
            equal(parse_reply(receive(connection)).body, b"0123456789", "the reply")
        gateway.pools = ["a", "b"]
        equal(gateway.counted(), 2, "requests counted")
        eventually(lambda: len(gateway.marked_processes()) == 1, about="only the new worker is left")
        gateway.pools = ["a"]
        gateway.sent = 1


@test
def changed_numbers_apply_without_a_restart():
    def pool(**more):
        return echo(slots=(1, 2), queue={"capacity": 100, **more.pop("queue", {})}, **more)

    with Gateway([pool()]) as gateway:
        before = pids(gateway, "echo")
        said = reload(gateway, [pool(queue={"capacity": 3, "overload": "none"}, timeouts={"request": "200ms"},
                                     required=False, health={"interval": "100ms"})])
        equal(said, counts(changed=1), "what is said")
        equal(pids(gateway, "echo"), before, "workers")
        state = gateway.pool("echo")
        equal((state["queue"]["capacity"], state["required"]), (3, False), "what the state says")
        slow = gateway.post("echo", b"x", "delay:100000")
        equal((slow.status, slow.code), (504, "deadline_exceeded"), "a request without a deadline of its own")
        eventually(lambda: gateway.slot("echo")["checks"]["ping"]["at"] is not None, within=3, about="a ping after 100 ms")


@test
def more_slots_than_there_are_make_another_pool_and_fewer_do_not():
    with Gateway([echo(slots=2)]) as gateway:
        before = pids(gateway, "echo")
        equal(reload(gateway, [echo(slots=1)]), counts(changed=1), "fewer")
        eventually(lambda: len(pids(gateway, "echo")) == 1, within=10, about="one worker is left")
        check(set(pids(gateway, "echo")) < set(before), "one of those that there were")
        equal(reload(gateway, [echo(slots=2)]), counts(changed=1), "as before")
        eventually(lambda: len(pids(gateway, "echo")) == 2, about="two workers")
        equal(reload(gateway, [echo(slots=3)]), counts(changed=1, restarted=1), "more")
        eventually(lambda: len(pids(gateway, "echo")) == 3, about="three workers")
        check(not set(pids(gateway, "echo")) & set(before), "others")


@test
def changed_arguments_restart_only_that_pool():
    with Gateway([echo("a"), echo("b"), echo("c")]) as gateway:
        before = [pids(gateway, name) for name in "abc"]
        said = reload(gateway, [echo("a"), echo("b", args={"load_ms": 1}), echo("c")])
        equal(said, counts(changed=1, unchanged=2, restarted=1), "what is said")
        equal(gateway.post("b", b"x").status, 200, "the changed pool serves")
        after = [pids(gateway, name) for name in "abc"]
        equal((after[0], after[2]), (before[0], before[2]), "workers of the others")
        check(after[1] != before[1], "another worker")
        equal(gateway.get("/readyz").status, 200, "ready")


@test
def pools_are_added_and_removed_and_come_in_the_order_of_the_file():
    with Gateway([echo("a"), echo("b")]) as gateway:
        gateway.post("b", b"x")
        equal(gateway.ask("POST", "/v1/pools/c/invoke", b"x").status, 404, "before it is there")
        keep = pids(gateway, "a")
        equal(reload(gateway, [echo("c"), echo("a")]), counts(added=1, removed=1, unchanged=1), "what is said")
        equal(names(gateway), ["c", "a"], "the pools that have a name")
        equal((gateway.post("c", b"x").status, gateway.post("a", b"x").status), (200, 200), "those that there are")
        gone = gateway.ask("POST", "/v1/pools/b/invoke", b"x")
        equal((gone.status, gone.code), (404, "no_such_pool"), "the one that is removed")
        equal(pids(gateway, "a"), keep, "workers of the one that stays")
        eventually(lambda: len(gateway.marked_processes()) == 2, about="the removed pool's worker is gone")
        equal(reload(gateway, [echo("a"), echo("c")]), counts(unchanged=2), "another order")
        equal(names(gateway), ["a", "c"], "the order")
        gateway.pools = ["a", "b", "c"]
        equal(gateway.counted(), 3, "a name keeps its counters")
        gateway.conserve = False


@test
def a_name_that_comes_back_goes_on_counting():
    with Gateway([echo("a"), echo("b")]) as gateway:
        gateway.post("b", b"x")
        reload(gateway, [echo("a")])
        reload(gateway, [echo("a"), echo("b")])
        gateway.post("b", b"x")
        gateway.pools = ["b"]
        equal(gateway.counted(), 2, "requests counted for b")


@test
def a_bad_file_keeps_the_old_configuration_and_says_why():
    with Gateway([echo(slots=2)]) as gateway:
        before = pids(gateway, "echo")
        good = gateway.config_file.read_text()
        with Load(gateway, ["echo"]) as load:
            bad = {
                "slots.max": json.dumps({"pools": [{**echo(), "slots": {"min": 3, "max": 2}}]}),
                "pools.echo.colour": json.dumps({"pools": [{**echo(), "colour": "red"}]}),
                "configuration": "pools: [",
                "at least one pool": json.dumps({"pools": []}),
            }
            for word, text in bad.items():
                seen = len(gateway.events("reload_refused"))
                gateway.config_file.write_text(text)
                gateway.signal(signal.SIGHUP)
                said = eventually(lambda: gateway.events("reload_refused")[seen:], about=f"{word} is refused")
                equal({line["level"] for line in said}, {"error"}, "level")
                check(any(str(gateway.config_file.name) in line["text"] for line in said), f"names the file: {said}")
                time.sleep(0.12)
            gateway.config_file.unlink()
            seen = len(gateway.events("reload_refused"))
            gateway.signal(signal.SIGHUP)
            eventually(lambda: len(gateway.events("reload_refused")) > seen, about="no file is refused")
            load.until(100)
        equal(load.wrong, [], "answers that are not what was sent")
        equal(pids(gateway, "echo"), before, "workers")
        equal(gateway.events("reloaded"), [], "reloads that succeeded")
        gateway.config_file.write_text(good)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.events("reloaded"), about="the good file is taken up")


@test
def what_needs_a_restart_is_named_and_the_pools_are_applied_all_the_same():
    with Gateway([echo("a")]) as gateway:
        said = reload(gateway, [echo("a"), echo("b")], http={"max_body": "1MiB", "max_connections": 7},
                      grpc={"listen": "127.0.0.1:1"}, log={"level": "debug"})
        equal(said, counts(added=1, unchanged=1), "what is said")
        warned = gateway.events("reload_needs_restart")
        equal([line["keys"] for line in warned], ["http.max_body, http.max_connections, grpc.listen"], "keys")
        equal(gateway.post("b", b"x" * (2 << 20)).status, 200, "the old bound on bodies holds")
        gateway.pools = ["a", "b"]


@test
def two_hundred_hangups_in_a_second_under_load_change_nothing():
    with Gateway([echo("still"), echo("moving")]) as gateway:
        still = pids(gateway, "still")
        with Load(gateway, ["still", "moving"]) as load:
            began = time.monotonic()
            for i in range(200):
                write(gateway, [echo("still"), echo("moving", args={"load_ms": i % 3 + 1})]) if i % 10 == 0 else None
                gateway.signal(signal.SIGHUP)
                time.sleep(max(0.0, began + i / 200 - time.monotonic()))
            load.until(100)
        equal(load.wrong, [], "answers that are not what was sent")
        equal(pids(gateway, "still"), still, "workers of the pool that did not change")
        between(1, len(gateway.events("reloaded")), 40, "reloads")
        eventually(lambda: len(gateway.marked_processes()) == 2, within=10, about="one worker each is left")


@test
def a_thousand_signals_a_second_leave_it_serving():
    with Gateway([echo()]) as gateway:
        before = pids(gateway, "echo")
        with Load(gateway, ["echo"], clients=2) as load:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
                    gateway.signal(number)
                time.sleep(0.001)
            load.until(50)
        equal(load.wrong, [], "answers that are not what was sent")
        equal(pids(gateway, "echo"), before, "workers")


@test
def calls_over_grpc_go_on_through_reloads():
    with Gateway([echo(slots=2), echo("other")]) as gateway, Node(gateway) as node:
        answers = []
        for generation in range(5):
            calls = [node.begin(operation="delay:5") for _ in range(40)]
            reload(gateway, [echo(slots=2, args={"load_ms": generation + 1}), echo("other")])
            calls += [node.begin(operation="delay:5") for _ in range(40)]
            answers += [Answer(node.finish(call)) for call in calls]
        equal([answer for answer in answers if answer.status != OK], [], "calls that went wrong")
        equal(code_count(gateway, "ok"), 400, "calls counted under the one name")
        reload(gateway, [echo("other")])
        equal(node.health("pool/echo").status, NOT_FOUND, "health of the pool that is removed")
        equal(node.health("pool/other").reply, "SERVING", "health of the one that stays")
        gateway.pools = ["other"]
        equal(node.invoke("echo").code, "no_such_pool", "a call to the one that is removed")
        gateway.conserve = False
        every_call_is_released(gateway)


@test
def a_hangup_during_the_drain_is_ignored():
    with Gateway([echo()], drain={"grace": "0s"}) as gateway:
        busy = gateway.send(gateway.raw_post("echo", b"busy", f"delay:{int(patient(800))}"))
        gateway.until_slot("echo", "processing")
        gateway.signal()
        eventually(lambda: gateway.events("draining"), about="the gateway drains")
        gateway.signal(signal.SIGHUP)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.events("reload_ignored"), about="it says so")
        equal(parse_reply(receive(busy)).body, b"busy", "the reply")
        gateway.join()
        equal(len(gateway.events("reload_ignored")), 1, "lines")


main(__doc__)
