#!/usr/bin/env python3
"""state: pools, slots, health and metrics have the contract's shapes and tell the truth"""

import json
import re
from datetime import datetime, timezone

from gateway import Gateway, echo, parse_reply, process_field, receive
from support import between, check, equal, eventually, main, patient, test

STATES = {"spawning", "loading", "ready", "processing", "idle", "evicting", "dead", "failed"}
CLASSES = {"critical", "high", "normal", "low", "batch"}
NUMBER = (int, float)

SLOT = {"id": str, "state": STATES, "since": datetime, "pid": int, "requests": int, "errors": int, "restarts": int,
        "last_error": (str, type(None)), "resident_bytes": int, "current": (dict, type(None)), "transitions": list,
        "staged": int, "checks": {"ping": {"at": (str, type(None)), "missed": int}, "deep": dict, "memory": dict,
                                  "latency": dict}}
TRANSITION = {"from": STATES, "to": STATES, "at": datetime, "why": str}
POOL = {
    "name": str, "capability": str, "health": {"healthy", "degraded", "unhealthy"},
    "wish": {"run", "pause", "drain", "unload"},
    "slots": {"min": int, "max": int, "by_state": {state: int for state in STATES}},
    "queue": {"waiting": int, "capacity": int, "bytes": int, "by_priority": {name: int for name in CLASSES},
              "tenants": dict, "tenants_live": int, "expected_wait_ms": NUMBER, "service_rate": NUMBER},
    "breaker": {"state": {"closed", "open", "half_open"}, "open_for_ms": (int, float, type(None)), "opened": int,
                "rejections": int},
    "memory": {"declared": int, "resident": int},
    "totals": {name: int for name in ("answered", "retried", "crashed", "restarts", "cancelled", "expired",
                                      "abandoned", "unmeetable", "shed", "deduplicated", "evictions", "recycled",
                                      "quarantined", "staged_back", "batches", "batched", "alarms")},
    "latency_ms": {part: {p: NUMBER for p in ("p50", "p95", "p99")} for part in ("queue", "run")},
}
HEALTHZ = {"status": {"healthy", "degraded", "unhealthy"}, "pools": list, "timestamp": datetime,
           "memory": {"used_bytes": int, "limit_bytes": int, "available_bytes": int,
                      "pressure": {"low", "normal", "high", "critical"}, "utilization": NUMBER}}

FAMILIES = {
    "poolgate_requests_total": ("counter", {"pool", "frontend", "code"}),
    "poolgate_queue_depth": ("gauge", {"pool", "priority"}),
    "poolgate_queue_seconds": ("histogram", {"pool"}),
    "poolgate_cold_seconds": ("histogram", {"pool"}),
    "poolgate_run_seconds": ("histogram", {"pool"}),
    "poolgate_slots": ("gauge", {"pool", "state"}),
    "poolgate_slot_transitions_total": ("counter", {"pool", "from", "to"}),
    "poolgate_slot_restarts_total": ("counter", {"pool", "reason"}),
    "poolgate_memory_bytes": ("gauge", {"pool", "kind"}),
    "poolgate_memory_limit_bytes": ("gauge", set()),
    "poolgate_memory_used_bytes": ("gauge", set()),
    "poolgate_memory_pressure": ("gauge", set()),
    "poolgate_breaker_state": ("gauge", {"pool"}),
    "poolgate_breaker_opened_total": ("counter", {"pool"}),
    "poolgate_breaker_rejections_total": ("counter", {"pool"}),
    "poolgate_batch_size": ("histogram", {"pool"}),
    "poolgate_deduplicated_total": ("counter", {"pool"}),
    "poolgate_unmeetable_total": ("counter", {"pool"}),
    "poolgate_shed_total": ("counter", {"pool"}),
    "poolgate_evictions_total": ("counter", {"pool"}),
    "poolgate_recycled_total": ("counter", {"pool"}),
    "poolgate_retried_total": ("counter", {"pool"}),
    "poolgate_quarantined": ("gauge", {"pool"}),
    "poolgate_staged": ("gauge", {"pool"}),
    "poolgate_staged_back_total": ("counter", {"pool"}),
    "poolgate_tenants": ("gauge", {"pool"}),
    "poolgate_tenant_waiting": ("gauge", {"pool", "tenant"}),
    "poolgate_tenant_share": ("gauge", {"pool", "tenant"}),
    "poolgate_alarms_total": ("counter", {"pool"}),
    "poolgate_events_lost_total": ("counter", set()),
    "poolgate_loop_lag_max_seconds": ("gauge", {"loop"}),
    "poolgate_cancel_seconds": ("histogram", {"pool"}),
    "poolgate_loop_lag_seconds": ("histogram", {"loop"}),
    "poolgate_connections": ("gauge", {"frontend"}),
    "poolgate_build_info": ("gauge", {"version"}),
}


def fits(value, shape, where):
    """Members that the shape does not name may follow; those that it names must be there and fit."""
    if isinstance(shape, dict):
        check(isinstance(value, dict), f"{where} is an object: {value!r}")
        for member, inner in shape.items():
            check(member in value, f"{where}.{member} is missing in {sorted(value)}")
            fits(value[member], inner, f"{where}.{member}")
    elif isinstance(shape, set):
        check(value in shape, f"{where} is one of {sorted(shape)}: {value!r}")
    elif shape is datetime:
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value or ""), f"{where} is RFC 3339: {value!r}")
    else:
        fit = isinstance(value, shape) and (shape is object or not isinstance(value, bool))
        check(fit, f"{where} is {shape}: {value!r}")


def age(text):
    return (datetime.now(timezone.utc) - datetime.fromisoformat(text.replace("Z", "+00:00"))).total_seconds()


@test
def a_pool_has_the_contracts_shape():
    with Gateway([echo(slots=2, capability="vision", memory="12MiB")]) as gateway:
        for _ in range(5):
            gateway.post("echo", b"x", "delay:5")
        gateway.served("echo", 5)
        pools = gateway.json("/v1/pools")
        fits(pools, {"pools": list}, "pools")
        fits(pools["pools"][0], POOL, "pools[0]")
        pool = gateway.pool("echo")
        fits(pool, POOL, "pool")
        words = [pool[member] for member in ("name", "capability", "health", "wish")]
        equal(words, ["echo", "vision", "healthy", "run"], "name, capability, health, wish")
        slots = pool["slots"]
        equal((slots["min"], slots["max"], sum(slots["by_state"].values())), (2, 2, 2), "slots")
        equal((pool["queue"]["waiting"], pool["queue"]["capacity"]), (0, 10000), "queue")
        equal(pool["breaker"]["state"], "closed", "breaker")
        equal(pool["memory"]["declared"], 2 * 12 << 20, "declared memory of two slots")
        between(5, pool["latency_ms"]["run"]["p50"], patient(50), "median run in ms")


@test
def a_slot_has_the_contracts_shape_idle_and_at_work():
    with Gateway([echo()]) as gateway:
        slot = gateway.slot("echo")
        fits(slot, SLOT, "slot")
        for step in slot["transitions"]:
            fits(step, TRANSITION, "transition")
        ways = [(step["from"], step["to"]) for step in slot["transitions"]]
        equal(ways[:3], [("dead", "spawning"), ("spawning", "loading"), ("loading", "ready")], "how it came to be")
        equal((slot["id"], slot["current"], slot["last_error"]), ("echo/0", None, None), "a slot at rest")
        between(0, age(slot["since"]), 60, "seconds since its last move")
        running = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(400))}",
                                                headers={"X-Request-Id": "the-one"}))
        busy = gateway.until_slot("echo", "processing")
        fits(busy, SLOT, "busy slot")
        equal(busy["current"]["request_id"], "the-one", "current request")
        eventually(lambda: (gateway.slot("echo")["current"] or {}).get("running_ms", 0) >= 50, about="running_ms grows")
        equal(parse_reply(receive(running)).status, 200, "status")
        gateway.served("echo", 1)
        gateway.post("echo", b"x", "fail")
        gateway.served("echo", 2)
        failed = gateway.slot("echo")
        equal((failed["errors"], failed["restarts"]), (1, 0), "errors and restarts")
        check("failed as asked" in failed["last_error"], f"last_error: {failed['last_error']}")


@test
def the_breaker_of_a_failing_pool_is_told_everywhere():
    pool = echo(breaker={"failures": 3, "open": "60s"}, retry={"crashes": 0})
    with Gateway([pool]) as gateway:
        equal(gateway.pool("echo")["breaker"], {"state": "closed", "open_for_ms": None, "opened": 0, "rejections": 0},
              "a breaker at rest")
        for _ in range(3):
            gateway.post("echo", b"x", "fail")
        eventually(lambda: gateway.pool("echo")["breaker"]["state"] == "open", about="the breaker is open")
        refused = gateway.post("echo", b"x")
        equal((refused.status, refused.code), (503, "circuit_open"), "a request meanwhile")
        between(1, int(refused.headers["Retry-After"]), 60, "Retry-After")
        breaker = gateway.pool("echo")["breaker"]
        between(1, breaker["open_for_ms"], 60_000, "open_for_ms")
        equal(breaker["opened"], 1, "how often it opened")
        eventually(lambda: gateway.pool("echo")["breaker"]["rejections"] == 1, about="the refused one is counted")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_breaker_state", pool="echo"), 2, "poolgate_breaker_state")
        equal(numbers.sum("poolgate_breaker_opened_total", pool="echo"), 1, "poolgate_breaker_opened_total")
        equal(numbers.sum("poolgate_breaker_rejections_total", pool="echo"), 1, "poolgate_breaker_rejections_total")


@test
def tenants_that_wait_are_named_and_counted():
    with Gateway([echo()]) as gateway:
        def send(tenant, operation=None):
            headers = {} if tenant is None else {"Poolgate-Tenant": tenant}
            return gateway.send(gateway.raw_post("echo", b"x", operation, headers=headers))

        held = [send("alice", f"delay:{int(patient(700))}")]
        gateway.until_processing("echo")
        held += [send(tenant) for tenant in ["alice"] * 5 + ["bob \"q\""] * 2 + [None]]

        def settled():
            tenants = gateway.pool("echo")["queue"]["tenants"]
            return sum(t["waiting"] + t["running"] for t in tenants.values()) == 9 and tenants

        tenants = eventually(settled, about="all nine are counted")
        equal(set(tenants), {"alice", "bob \"q\"", ""}, "tenants")
        live = {name: tenant["waiting"] + tenant["running"] for name, tenant in tenants.items()}
        equal(live, {"alice": 6, "bob \"q\"": 2, "": 1}, "live requests by tenant")
        equal(gateway.pool("echo")["queue"]["tenants_live"], 3, "tenants_live")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_tenants", pool="echo"), 3, "poolgate_tenants")
        seen = {labels["tenant"] for labels, _ in numbers.matching("poolgate_tenant_waiting", pool="echo")}
        equal(seen, {"alice", "bob \"q\"", ""}, "tenants in the metrics")
        for connection in held:
            equal(parse_reply(receive(connection)).status, 200, "an accepted request")
        eventually(lambda: gateway.pool("echo")["queue"]["tenants"] == {}, about="nobody is listed who has nothing")


@test
def the_checks_of_a_slot_say_when_and_what():
    with Gateway([echo(health={"interval": "50ms", "deep": "50ms"})]) as gateway:
        slot = eventually(lambda: (s := gateway.slot("echo"))["checks"]["ping"]["at"] and s["checks"]["deep"]["at"]
                          and s["checks"]["memory"]["sound"] is not None and s, about="all of them were made")
        checks = slot["checks"]
        fits(checks["ping"], {"at": datetime, "rtt_ms": NUMBER, "busy_ms": NUMBER, "missed": int}, "ping")
        between(0, age(checks["ping"]["at"]), patient(5), "seconds since the last pong")
        between(0, checks["ping"]["rtt_ms"], patient(1000), "rtt_ms")
        fits(checks["deep"]["at"], datetime, "deep.at")
        equal((checks["deep"]["sound"], checks["memory"]["sound"]), (True, True), "deep and memory")
        equal(checks["latency"], {"p50_ms": None, "p99_ms": None}, "latency of a slot that ran nothing")
        gateway.post("echo", b"x", "delay:5")
        gateway.served("echo", 1)
        between(5, gateway.slot("echo")["checks"]["latency"]["p99_ms"], patient(200), "p99_ms")


@test
def totals_count_what_the_policies_did():
    pools = [echo(queue={"dedup": "10s"}), echo("worn", recycle={"requests": 2})]
    with Gateway(pools) as gateway:
        first = gateway.send(gateway.raw_post("echo", b"same", f"delay:{int(patient(300))}"))
        gateway.until_processing("echo")
        second = gateway.send(gateway.raw_post("echo", b"same", f"delay:{int(patient(300))}"))
        for connection in (first, second):
            equal(parse_reply(receive(connection)).status, 200, "an answer of the one run")
        equal(gateway.pool("echo")["totals"]["deduplicated"], 1, "deduplicated")
        for _ in range(4):
            equal(gateway.post("worn", b"x").status, 200, "a request of the pool that recycles")
        eventually(lambda: gateway.pool("worn")["totals"]["recycled"] >= 2, about="workers were replaced")
        batches = gateway.pool("worn")["totals"]
        equal((batches["batches"], batches["batched"]), (4, 4), "hand-overs and requests in them")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_deduplicated_total", pool="echo"), 1, "poolgate_deduplicated_total")
        equal(numbers.sum("poolgate_batch_size_count", pool="worn"), 4, "poolgate_batch_size")
        equal(numbers.sum("poolgate_alarms_total"), 0, "alarms")


@test
def a_slot_without_work_is_idle_after_a_second_and_serves_at_once():
    with Gateway([echo()]) as gateway:
        gateway.post("echo", b"x")
        gateway.until_slot("echo", "idle", within=3)
        for _ in range(20):  # looking does not wake it
            for path in ("/livez", "/readyz", "/startupz", "/healthz", "/metrics", "/v1/pools"):
                gateway.get(path)
        slot = gateway.slot("echo")
        equal(slot["state"], "idle", "state after many looks")
        gateway.post("echo", b"x")
        gateway.served("echo", 2)
        ways = [(step["from"], step["to"]) for step in gateway.slot("echo")["transitions"]]
        check(("idle", "ready") in ways, f"idle leaves through ready: {ways}")


@test
def the_resident_memory_of_a_worker_is_measured():
    with Gateway([echo()]) as gateway:
        slot = eventually(lambda: (s := gateway.slot("echo"))["resident_bytes"] > 0 and s, about="it was measured")
        real = process_field(slot["pid"], "VmRSS") * 1024
        between(real * 0.2, slot["resident_bytes"], real * 2, "resident bytes against /proc")
        equal(gateway.pool("echo")["memory"]["resident"] > 0, True, "resident memory of the pool")


@test
def the_health_report_has_the_contracts_shape():
    with Gateway([echo(), echo("other")]) as gateway:
        report = gateway.json("/healthz")
        fits(report, HEALTHZ, "healthz")
        equal(report["status"], "healthy", "status")
        equal([pool["name"] for pool in report["pools"]], ["echo", "other"], "pools")
        memory = report["memory"]
        check(0 < memory["limit_bytes"] and memory["used_bytes"] > 0, f"memory: {memory}")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_memory_limit_bytes"), memory["limit_bytes"], "poolgate_memory_limit_bytes")
        between(0, numbers.sum("poolgate_memory_pressure"), 3, "poolgate_memory_pressure")
        between(0, age(report["timestamp"]), 5, "age of the report")


@test
def state_answers_at_once_while_every_slot_is_busy_and_the_queue_is_long():
    with Gateway([echo(slots=2)]) as gateway:
        held = [gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(1500))}")) for _ in range(2)]
        gateway.until_processing("echo", 2)
        held += [gateway.send(gateway.raw_post("echo", b"x")) for _ in range(100)]
        gateway.until_waiting("echo", 100)
        slowest = 0.0
        for path in ("/livez", "/readyz", "/healthz", "/metrics", "/v1/pools", "/v1/pools/echo/slots") * 5:
            reply = gateway.get(path)
            equal(reply.status, 200, path)
            slowest = max(slowest, reply.seconds)
        check(slowest < patient(0.1), f"the slowest answer took {slowest * 1000:.1f} ms")
        check(gateway.pool("echo")["queue"]["expected_wait_ms"] >= 0, "expected wait")
        for connection in held:
            equal(parse_reply(receive(connection)).status, 200, "an accepted request")


@test
def metrics_parse_and_have_the_contracts_names_and_labels():
    with Gateway([echo(slots=2), echo("other")]) as gateway:
        for _ in range(7):
            gateway.post("echo", b"x", "delay:3")
        gateway.post("echo", b"x", "fail")
        gateway.served("echo", 8)
        page = gateway.get("/metrics")
        check(page.headers["Content-Type"].startswith("text/plain; version=0.0.4"), page.headers["Content-Type"])
        numbers = gateway.metrics()
        for name, (kind, labels) in FAMILIES.items():
            check(name in numbers.families, f"{name} is there")
            equal(numbers.families[name].type, kind, f"type of {name}")
            for sample, found, _ in numbers.families[name].samples:
                equal(set(found) - {"le"}, labels, f"labels of {sample}")
        for name in numbers.families:
            check(name.startswith("poolgate_"), f"{name} is ours")
        equal(numbers.sum("poolgate_requests_total", pool="echo", frontend="http", code="ok"), 7, "ok")
        equal(numbers.sum("poolgate_requests_total", pool="echo", code="worker_error"), 1, "worker_error")
        equal(numbers.sum("poolgate_slots", pool="echo"), 2, "slots over all states")
        for name, label, values in (("slots", "state", STATES), ("queue_depth", "priority", CLASSES)):
            seen = {labels[label] for labels, _ in numbers.matching(f"poolgate_{name}", pool="echo")}
            equal(seen, values, f"values of {label}")
        for part in ("queue", "run"):  # a failed request need not be in the times of those that were served
            between(7, numbers.sum(f"poolgate_{part}_seconds_count", pool="echo"), 8, f"requests in {part}_seconds")
        check(numbers.sum("poolgate_run_seconds_sum", pool="echo") >= 7 * 0.003, "sum of run times")
        equal(numbers.sum("poolgate_memory_bytes", pool="echo", kind="declared") > 0, True, "declared memory")


@test
def transitions_in_the_metrics_add_up_with_those_of_the_slots():
    with Gateway([echo()]) as gateway:
        for _ in range(5):
            gateway.post("echo", b"x")
        gateway.until_slot("echo", "ready", "idle")

        def both():
            numbers, slot = gateway.metrics(), gateway.slot("echo")
            counted = {(labels["from"], labels["to"]): value
                       for labels, value in numbers.matching("poolgate_slot_transitions_total", pool="echo") if value}
            listed = {}
            for step in slot["transitions"]:
                listed[step["from"], step["to"]] = listed.get((step["from"], step["to"]), 0) + 1
            return counted == listed

        eventually(both, about="the metrics and the slot's own list agree")


@test
def the_log_is_one_line_of_json_per_event_where_asked_for():
    with Gateway([echo()], log={"format": "json", "level": "debug"}) as gateway:
        line = gateway.events("listening")[0]
        check(line["level"] == "info" and "http" in line and "time" in line, f"the line: {line}")
        gateway.post("echo", b"x", "stderr:1")
        for text in gateway.log_text().splitlines():
            parsed = json.loads(text)
            check({"time", "level", "msg"} <= set(parsed), f"members of {parsed}")


main(__doc__)
