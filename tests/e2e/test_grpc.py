#!/usr/bin/env python3
"""grpc: the same pools through the other door, with clients that we did not write (@grpc/grpc-js)"""

import base64
import os
import socket
import subprocess
import time

from gateway import Gateway, echo, parse_reply, receive, sanitizer_options
from grpc_node import (CANCEL_LIMIT_S, CANCELLED, DEADLINE, EXHAUSTED, INTERNAL, INVALID, NOT_FOUND, OK, PRECONDITION,
                       UNAVAILABLE, UNIMPLEMENTED, Answer, Node, address, code_count, every_call_is_released, expect)
from support import between, build, check, equal, eventually, in_time, main, patient, test


@test
def the_same_bytes_come_back_through_both_doors_and_both_isolations_from_nothing_to_60_mib():
    pools = [echo(slots=2), echo("thread", slots=2, isolation="thread")]
    with Gateway(pools) as gateway, Node(gateway) as node:
        for size in (0, 1, 127, 128, 16383, 16384, 262_143, 262_144, 5_000_000, 60 << 20):
            data = os.urandom(size)
            for pool in gateway.pools:
                payload, reply = node.echo(data, pool, content_type="image/x-test")
                rest = gateway.post(pool, data, headers={"Content-Type": "image/x-test"})
                check(payload == rest.body == data, f"{size} bytes through both doors to {pool}")
                equal(reply["content_type"], rest.headers["Content-Type"], "content type")
        payload, _ = node.echo(b"", operation=f"size:{60 << 20}")
        check(payload == bytes(i % 251 for i in range(251)) * ((60 << 20) // 251) + bytes(range((60 << 20) % 251)),
              "60 MiB made by the worker")
        every_call_is_released(gateway)


@test
def an_answer_tells_its_id_slot_attempts_and_times():
    with Gateway([echo(slots=3)]) as gateway, Node(gateway) as node:
        _, reply = node.echo(b"x", operation="delay:50", request_id="mine-1")
        equal(reply["request_id"], "mine-1", "the client's own id")
        check(reply["slot"] in ("echo/0", "echo/1", "echo/2"), f"slot: {reply['slot']}")
        equal(reply["timing"]["attempts"], 1, "attempts")
        between(50_000, reply["timing"]["run_us"], patient(1.0) * 1e6, "run_us")
        _, reply = node.echo(b"x", operation="meta")
        check(reply["metadata"].get("echo-slot") in "012", f"the worker's metadata: {reply['metadata']}")
        equal(node.echo(b"x")[1]["content_type"], "application/octet-stream", "type of what was given none")


@test
def an_id_is_used_only_while_it_is_free_and_fit():
    with Gateway([echo(slots=2)]) as gateway, Node(gateway) as node:
        first = node.begin(operation=f"delay:{int(patient(400))}", request_id="twice")
        gateway.until_processing("echo")
        second = node.invoke(request_id="twice")
        check(second.reply["request_id"] != "twice", "the id of a live request was used again")
        equal(Answer(node.finish(first)).reply["request_id"], "twice", "the first one's")
        equal(node.invoke(request_id="twice").reply["request_id"], "twice", "free again")
        for unfit in ("two words", "x" * 129, "ümlaut"):
            check(node.invoke(request_id=unfit).reply["request_id"] != unfit, f"{unfit[:20]} was used")


@test
def every_way_to_fail_has_its_status_and_trailers():
    pools = [echo(retry={"crashes": 0}), echo("short", timeouts={"request": f"{int(patient(150))}ms"}),
             echo("retries", retry={"crashes": 1}), echo("dead", args={"load_fail": 1}, required=False)]
    with Gateway(pools, wait="listening") as gateway, Node(gateway) as node:
        for name in ("echo", "short", "retries"):
            gateway.until_slot(name, "ready", "idle")
        eventually(lambda: gateway.pool("dead")["health"] == "unhealthy", about="dead is unhealthy")
        expect(node.invoke("nowhere"), NOT_FOUND, "no_such_pool")
        expect(node.invoke(operation="invalid"), INVALID, "invalid_request")
        expect(node.invoke(operation="dance"), INVALID, "unsupported_media_type")
        expect(node.invoke(operation="fail"), INTERNAL, "worker_error")
        expect(node.invoke(operation="crash"), INTERNAL, "worker_crashed")
        expect(node.invoke("short", operation="delay:60000"), DEADLINE, "deadline_exceeded")
        expect(node.invoke("retries", operation="crash"), PRECONDITION, "quarantined")
        expect(node.invoke("dead"), UNAVAILABLE, "spawn_failed", retry=True)


@test
def a_full_queue_is_refused_at_once_and_says_when_to_come_again():
    with Gateway([echo(queue={"capacity": 2, "reserve": "0%"})]) as gateway, Node(gateway) as node:
        busy = [node.begin(operation=f"delay:{int(patient(500))}") for _ in range(3)]
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] == 2, about="two wait")
        refused = node.invoke()
        expect(refused, UNAVAILABLE, "queue_full", retry=True)
        check(refused.seconds < patient(0.2), f"refused after {refused.seconds:.3f} s")
        for number in busy:
            equal(Answer(node.finish(number)).status, OK, "an accepted one")


@test
def what_is_not_an_invoke_request_is_refused():
    pool = b"\x0a\x04echo"
    broken = {
        "a field cut short": b"\x0a\x09echo",
        "a length beyond the end": pool + b"\x12\xff\xff\xff\xff\x7f",
        "a varint without end": b"\xff" * 12,
        "field number 0": b"\x02\x00",
        "a group": b"\x0b\x0c",
        "a payload that is a number": pool + b"\x10\x01",
        "a pool that is not UTF-8": b"\x0a\x02\xc3\x28",
        "a NUL in a text": pool + b"\x1a\x03a\x00b",
        "a line feed in a text": pool + b"\x1a\x03a\nb",
        "a priority that there is not": pool + b"\x28\x09",
        "a text of 2,000 bytes": pool + b"\x42\xd0\x0f" + b"x" * 2000,
        "50 KiB of unknown fields": b"\x7a\x02xx" * 12_800,
        "a million empty pairs": b"\x22\x00" * 1_000_000,
        "a pair's name with a space": pool + b"\x22\x05\x0a\x03a b",
    }
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        for what, message in broken.items():
            answer = node.raw("/poolgate.v1.Gateway/Invoke", message)
            check((answer.status, answer.code) == (INVALID, "invalid_request"), f"{what}: {answer}")
        equal(node.echo(b"after")[0], b"after", "and then it serves")
        for method in ("/poolgate.v1.Gateway/GetPool", "/grpc.health.v1.Health/Check"):
            equal(node.raw(method, b"\x0a\x09echo").status, INVALID, f"{method} with a broken message")


@test
def fields_may_come_in_any_order_and_the_last_one_counts():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        message = b"\x12\x03abc" + b"\x0a\x04nope" + b"\x12\x02xy" + b"\x7a\x01?" + b"\x0a\x04echo"
        answer = node.raw("/poolgate.v1.Gateway/Invoke", message)
        gateway.sent += 1
        equal(answer.status, OK, f"status ({answer})")
        check(base64.b64decode(answer.reply).startswith(b"\x0a\x02xy"), "the last payload to the last pool")


@test
def the_deadline_of_a_call_ends_its_wait_in_the_queue():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        first = node.begin(operation=f"delay:{int(patient(1000))}")
        gateway.until_processing("echo")
        began = time.monotonic()
        second = node.begin(payload=b"late", deadline_ms=int(patient(200)))
        gateway.until_waiting("echo", 1)
        equal(Answer(node.finish(second)).status, DEADLINE, "status of the one that waited")
        eventually(lambda: code_count(gateway, "deadline_exceeded") == 1, about="counted as deadline_exceeded")
        between(patient(0.15), time.monotonic() - began, patient(0.5), "seconds until it was gone")
        equal(Answer(node.finish(first)).status, OK, "the first one")
        equal(gateway.slot("echo")["requests"], 1, "requests that the worker has seen")


@test
def the_deadline_of_a_call_reaches_the_worker():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        node.command("connect")
        running = node.begin(operation="delay:60000", deadline_ms=int(patient(200)))
        gateway.until_processing("echo")
        equal(Answer(node.finish(running)).status, DEADLINE, "status")
        began = time.monotonic()
        gateway.until_slot("echo", "ready", "idle")
        check(time.monotonic() - began < patient(0.3), "the slot is free soon after the deadline")
        equal(gateway.slot("echo")["restarts"], 0, "restarts: a cooperative worker lives on")
        eventually(lambda: code_count(gateway, "deadline_exceeded") == 1, about="counted as deadline_exceeded")


@test
def without_a_deadline_the_pools_own_counts_and_max_caps_both():
    pools = [echo(timeouts={"request": f"{int(patient(200))}ms"}),
             echo("capped", timeouts={"request": "100ms", "max": f"{int(patient(200))}ms"})]
    with Gateway(pools) as gateway, Node(gateway) as node:
        answer = node.invoke(operation="delay:60000")
        expect(answer, DEADLINE, "deadline_exceeded")
        between(0.15, answer.seconds, patient(1.0), "seconds without a deadline")
        answer = node.invoke("capped", operation="delay:60000", deadline_ms=int(patient(30_000)))
        expect(answer, DEADLINE, "deadline_exceeded")
        between(0.15, answer.seconds, patient(1.0), "seconds under timeouts.max")


def a_cancelled_call_frees_its_slot(isolation):
    with Gateway([echo(isolation=isolation)]) as gateway, Node(gateway) as node:
        for _ in range(5):
            running = node.begin(operation="delay:60000")
            gateway.until_processing("echo")
            node.command("cancel", of=running)
            left = time.monotonic()
            eventually(lambda: gateway.slot("echo")["state"] != "processing", about="the slot is free", every=0.001)
            took = time.monotonic() - left
            in_time(took, CANCEL_LIMIT_S, "from the cancel to the free slot")
            equal(Answer(node.finish(running)).status, CANCELLED, "status")
        equal(gateway.slot("echo")["restarts"], 0, "restarts")
        eventually(lambda: code_count(gateway, "cancelled") == 5, about="counted as cancelled")


@test
def a_cancelled_call_frees_a_cooperative_process_within_100_ms():
    a_cancelled_call_frees_its_slot("process")


@test
def a_cancelled_call_frees_a_cooperative_thread_within_100_ms():
    a_cancelled_call_frees_its_slot("thread")


@test
def a_call_cancelled_in_the_queue_never_runs():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        first = node.begin(operation=f"delay:{int(patient(500))}")
        gateway.until_processing("echo")
        second = node.begin(payload=b"never")
        gateway.until_waiting("echo", 1)
        node.command("cancel", of=second)
        gateway.until_waiting("echo", 0)
        equal(Answer(node.finish(first)).status, OK, "the first one")
        node.finish(second)
        equal(gateway.slot("echo")["requests"], 1, "requests that the worker has seen")


@test
def a_call_cut_off_in_the_middle_of_its_message_is_a_cancelled_one():
    with Gateway([echo()], conserve=False) as gateway, Node(gateway) as node:
        node.command("connect")
        for i in range(12):
            number = node.begin(payload=bytes(16 << 20))
            time.sleep(0.002 * i)
            node.command("cancel", of=number)
            node.finish(number)
        eventually(lambda: gateway.pool("echo")["queue"]["bytes"] == 0, about="no byte is charged")
        numbers = gateway.metrics()
        counts = {code: numbers.sum("poolgate_requests_total", code=code) for code in ("ok", "cancelled")}
        equal(numbers.sum("poolgate_requests_total"), sum(counts.values()), f"all others of {counts}")
        every_call_is_released(gateway)


@test
def a_client_that_dies_frees_its_slots():
    with Gateway([echo(slots=4)]) as gateway:
        with Node(gateway) as node:
            for _ in range(4):
                node.begin(operation="delay:60000")
            gateway.until_processing("echo", 4)
            node.process.kill()
            left = time.monotonic()
            gateway.until_processing("echo", 0)
            in_time(time.monotonic() - left, CANCEL_LIMIT_S, "from the client's death to its free slots")
            eventually(lambda: code_count(gateway, "cancelled") == 4, about="counted as cancelled")
            eventually(lambda: gateway.metrics().sum("poolgate_connections", frontend="grpc") == 0,
                       about="no connection is counted")
        every_call_is_released(gateway)


@test
def a_thousand_random_cancels_leave_nothing_behind():
    with Gateway([echo(slots=4)], conserve=False) as gateway, Node(gateway) as node:
        node.command("connect")
        descriptors, resident = gateway.descriptors(), gateway.resident_kib()
        result = node.command("storm", count=1000, width=50, within_ms=20,
                              request={"pool": "echo", "operation": "delay:8"})
        equal(sum(result["statuses"].values()), 1000, "calls that ended")
        between(100, result["statuses"].get("1", 0), 1000, f"cancelled ones of {result['statuses']}")
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] == 0, about="nobody waits")
        gateway.until_processing("echo", 0)
        metrics = gateway.metrics()  # one look: cancelled calls are still being counted
        counted = sum(metrics.sum("poolgate_requests_total", code=code) for code in ("ok", "cancelled"))
        equal(metrics.sum("poolgate_requests_total"), counted, "every call was ok or cancelled")
        equal(node.echo(b"after")[0], b"after", "and then it serves")
        eventually(lambda: gateway.descriptors() <= descriptors, about="no descriptor is left")
        check(gateway.resident_kib() < resident + 40 * 1024 * build.slack, "memory")
        equal(gateway.slot("echo")["restarts"], 0, "restarts")
        between(counted, every_call_is_released(gateway), 1001, "calls that arrived")


@test
def unknown_methods_are_unimplemented_at_once():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        node.command("connect")
        for path in ("/poolgate.v1.Gateway/Nope", "/poolgate.v1.Gateway/InvokeStream", "/nobody.Knows/This",
                     "/poolgate.v1.Gateway/Watch", "/grpc.health.v1.Health/Watch",
                     "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            for _ in range(12):  # more than wait for clients at a time
                answer = node.raw(path)
                equal((answer.status, answer.code), (UNIMPLEMENTED, "method_not_allowed"), path)
                check(answer.seconds < patient(0.2), f"{path}: after {answer.seconds:.3f} s")


@test
def health_tells_of_the_gateway_and_of_each_pool():
    slow = echo("slow", args={"load_ms": int(patient(700))})
    with Gateway([echo(), slow], wait="listening") as gateway, Node(gateway) as node:
        gateway.until_slot("echo", "ready", "idle")
        equal(node.health("pool/echo").reply, "SERVING", "a pool that has its slots")
        equal(node.health("pool/slow").reply, "NOT_SERVING", "a pool that starts")
        equal(node.health("").reply, "NOT_SERVING", "the gateway while one starts")
        gateway.until_slot("slow", "ready", "idle")
        for service in ("", "poolgate.v1.Gateway", "pool/echo", "pool/slow"):
            eventually(lambda: node.health(service).reply == "SERVING", about=f"{service!r} serves")
        for service in ("pool/nope", "pool/", "other"):
            equal(node.health(service).status, NOT_FOUND, f"status of {service}")


@test
def health_says_not_serving_from_the_first_moment_of_the_drain():
    with Gateway([echo()], drain={"grace": "1s"}) as gateway, Node(gateway) as node:
        equal(node.health().reply, "SERVING", "before")
        gateway.signal()
        eventually(lambda: node.health().reply == "NOT_SERVING", within=0.5, about="not serving")
        equal(node.health("pool/echo").reply, "NOT_SERVING", "its pool")
        equal(node.invoke().status, OK, "the grace still serves")
        gateway.join()


@test
def the_state_of_pools_is_the_same_through_both_doors():
    with Gateway([echo(slots=(1, 3)), echo("other")]) as gateway, Node(gateway) as node:
        for _ in range(3):
            node.invoke()
        eventually(lambda: gateway.pool("echo")["totals"]["answered"] == 3, about="three are answered")
        json_pools, pools = gateway.json("/v1/pools")["pools"], node.state("ListPools").reply["pools"]
        equal([pool["name"] for pool in pools], ["echo", "other"], "names")
        for name in ("health", "wish", "required", "memory", "totals", "capability", "latency_ms"):
            equal(pools[0][name], json_pools[0][name], name)
        equal(pools[0]["breaker"], {**json_pools[0]["breaker"], "open_for_ms": 0}, "breaker, 0 for null")
        for name in ("waiting", "capacity", "by_priority", "expected_wait_ms", "tenants_live"):
            equal(pools[0]["queue"][name], json_pools[0]["queue"][name], name)
        for name in ("min", "max"):
            equal(pools[0]["slots"][name], json_pools[0]["slots"][name], name)
        equal(node.state("GetPool", pool="echo").reply["name"], "echo", "GetPool")
        equal(node.state("GetPool", pool="nope").status, NOT_FOUND, "GetPool of none")


@test
def tenants_are_the_same_through_both_doors():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        node.state("GetPool", pool="echo")  # the client has started
        held = [gateway.send(gateway.raw_post("echo", b"x", f"delay:{delay}", headers={"Poolgate-Tenant": tenant}))
                for tenant, delay in (("one", int(patient(1000))), ("two", 1), ("two", 1))]

        def live():
            return sum(t["waiting"] + t["running"] for t in gateway.pool("echo")["queue"]["tenants"].values())

        eventually(lambda: live() == 3, about="all three are there")
        over_http, over_grpc = gateway.pool("echo")["queue"], node.state("GetPool", pool="echo").reply["queue"]
        equal(over_grpc["by_tenant"], over_http["tenants"], "what is known of them")
        equal(over_grpc["tenants"], {name: facts["waiting"] for name, facts in over_http["tenants"].items()}, "counts")
        for connection in held:
            equal(parse_reply(receive(connection)).status, 200, "an accepted request")


@test
def a_message_above_the_limit_is_refused_and_the_connection_lives():
    with Gateway([echo()], grpc={"listen": "127.0.0.1:0", "max_message": "1MiB"}) as gateway, Node(gateway) as node:
        equal(node.echo(bytes(1 << 19))[0], bytes(1 << 19), "below")
        above = node.invoke(payload=bytes(2 << 20))
        gateway.sent -= 1  # the library answers it
        equal(above.status, EXHAUSTED, f"status above ({above})")
        equal(node.echo(b"after")[0], b"after", "after")


@test
def a_compressed_message_is_refused():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        answer = node.invoke(payload=bytes(1 << 20), connection="gzip", compression=2)
        gateway.sent -= 1
        equal(answer.status, UNIMPLEMENTED, f"status ({answer})")


@test
def priorities_reach_the_queue():
    with Gateway([echo()]) as gateway, Node(gateway) as node:
        first = node.begin(operation=f"delay:{int(patient(400))}")
        gateway.until_processing("echo")
        low = node.begin(priority="PRIORITY_LOW")
        gateway.until_waiting("echo", 1)
        critical = node.begin(priority="PRIORITY_CRITICAL")
        gateway.until_waiting("echo", 2)
        by_priority = gateway.pool("echo")["queue"]["by_priority"]
        equal((by_priority["low"], by_priority["critical"]), (1, 1), "places by priority")
        answers = {number: Answer(node.finish(number)) for number in (first, critical, low)}
        check(answers[critical].reply["timing"]["queue_us"] < answers[low].reply["timing"]["queue_us"],
              "critical overtook low")


@test
def both_doors_share_one_queue():
    with Gateway([echo(queue={"capacity": 2, "reserve": "0%"})]) as gateway, Node(gateway) as node:
        busy = gateway.send(gateway.raw_post("echo", b"http", f"delay:{int(patient(500))}"))
        gateway.until_processing("echo")
        waiting = [node.begin(), node.begin()]
        gateway.until_waiting("echo", 2)
        equal(gateway.post("echo", b"more").code, "queue_full", "HTTP, when gRPC has filled the queue")
        equal(node.invoke().code, "queue_full", "gRPC")
        for number in waiting:
            equal(Answer(node.finish(number)).status, OK, "one that waited")
        busy.close()


@test
def a_drain_answers_what_was_accepted_and_refuses_what_is_new():
    with Gateway([echo(slots=2)]) as gateway, Node(gateway) as node:
        accepted = [node.begin(payload=b"%d" % i, operation=f"delay:{int(patient(200))}") for i in range(8)]
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] == 6, about="six wait")
        gateway.signal()
        eventually(lambda: gateway.pool("echo")["wish"] == "drain", about="the pool is to drain")
        expect(node.invoke(), UNAVAILABLE, "shutting_down", retry=True)
        equal([Answer(node.finish(number)).status for number in accepted], [OK] * 8, "the accepted ones")
        began = time.monotonic()
        gateway.join()
        check(time.monotonic() - began < patient(2), "no idle connection holds the end up")
        equal(node.invoke().status, UNAVAILABLE, "afterwards")
        every_call_is_released(gateway)


@test
def a_client_that_never_reads_does_not_hold_the_end_up():
    with Gateway([echo()], drain={"grace": "0s", "timeout": "3s"}) as gateway:
        host, port = address(gateway).rsplit(":", 1)
        idle = socket.create_connection((host, int(port)))
        idle.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        eventually(lambda: gateway.metrics().sum("poolgate_connections", frontend="grpc") == 1, about="connected")
        began = time.monotonic()
        gateway.signal()
        gateway.join()
        check(time.monotonic() - began < patient(3), f"ended after {time.monotonic() - began:.1f} s")
        idle.close()


@test
def strangers_are_sent_away_and_counted_out():
    with Gateway([echo()]) as gateway:
        host, port = address(gateway).rsplit(":", 1)
        before = gateway.descriptors()
        for sends in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), b"PRI * HTTP/2.0\r\n"):
            for leave in (lambda s: s.close(), lambda s: s.shutdown(socket.SHUT_WR)):
                stranger = socket.create_connection((host, int(port)))
                stranger.sendall(sends)
                leave(stranger)
        eventually(lambda: gateway.metrics().sum("poolgate_connections", frontend="grpc") == 0,
                   about="no connection is counted")
        eventually(lambda: gateway.descriptors() <= before, about="no descriptor is left")
        with Node(gateway) as node:
            equal(node.echo(b"after")[0], b"after", "and then it serves")


@test
def when_all_places_are_taken_probes_are_still_answered():
    with Gateway([echo()], http={"max_connections": 3}, conserve=False) as gateway, Node(gateway) as node:
        for i in range(3):
            node.command("connect", connection=f"guest {i}")
        late = Answer(node.command("invoke", connection="late", request={"pool": "echo"}, deadline_ms=5000))
        equal((late.status, late.code), (UNAVAILABLE, "queue_full"), f"a fourth client ({late})")
        equal(node.health().reply, "SERVING", "a probe")


@test
def the_command_invoke_speaks_grpc():
    def invoke(gateway, *arguments, data=b""):
        run = subprocess.run([build.program, "invoke", *arguments, "--grpc", "--url", address(gateway)], input=data,
                             capture_output=True, timeout=patient(30), check=False,
                             env={"PATH": "/usr/bin:/bin", **sanitizer_options()})
        return run.returncode, run.stdout, run.stderr.decode(errors="replace")

    with Gateway([echo()]) as gateway:
        data = os.urandom(3_000_000)
        code, out, err = invoke(gateway, "echo", "-", "--priority", "high", "-v", data=data)
        equal((code, out == data), (0, True), f"exit code and answer ({err})")
        check("slot: echo/0" in err and "run: " in err, f"what --verbose says: {err}")
        code, out, err = invoke(gateway, "echo", "--operation", "fail")
        equal((code, out), (1, b""), "exit code and answer of one that failed")
        check("worker_error" in err, f"what it says: {err}")
        code, _, err = invoke(gateway, "echo", "--operation", "delay:60000", "--timeout", "200")
        equal(code, 1, "exit code of one that came too late")
        check("gRPC 4" in err, f"what it says: {err}")
        gateway.sent += 3
        code, _, err = invoke(gateway, "nowhere")
        check(code == 1 and "no_such_pool" in err, f"an unknown pool: {code} {err}")


main(__doc__)
