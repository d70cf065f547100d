#!/usr/bin/env python3
"""tracing: a request is part of its client's trace, its worker too, and no collector is ever waited for"""

import os
import re
import socket
import time

from collector import Collector
from gateway import Gateway, echo
from grpc_node import OK, Node
from support import between, check, equal, eventually, in_time, main, patient, test

PARENT = "00f067aa0ba902b7"


def new_trace():
    return os.urandom(16).hex()


def traceparent(trace, flags="01"):
    return {"traceparent": f"00-{trace}-{PARENT}-{flags}"}


def traced(collector, pools, **more):
    return Gateway(pools, trace={"otlp": collector.url, **more})


def told(reply):
    """What the worker was told of the trace; None: nothing."""
    return reply.headers["Poolgate-Meta-echo-traceparent"]


@test
def spans_nest_and_their_times_add_up():
    trace = new_trace()
    with Collector() as collector, traced(collector, [echo(slots=(0, 1), args={"load_ms": 60})]) as gateway:
        began = time.time_ns()
        reply = gateway.post("echo", b"hello", operation="delay:40", headers=traceparent(trace))
        ended = time.time_ns()
        equal(reply.status, 200, "status")
        server, parts = collector.request(trace, 3)
        equal(server.parent, PARENT, "above it is the client's span")
        equal({span.parent for span in parts.values()}, {server.id}, "what is above the parts")
        equal(len({server.id, *(span.id for span in parts.values())}), 4, "ids")
        cold, queue, run = parts["cold"], parts["queue"], parts["run"]
        equal((cold.begin, cold.end, queue.end), (server.begin, queue.begin, run.begin), "one after the other")
        check(run.end <= server.end, f"{run} ends within {server}")
        check(began <= server.begin and server.end <= ended + 50_000_000, "on the wall clock")
        for name, milliseconds in reply.timing.items():
            between(milliseconds - 0.002, parts[name].took_ms, milliseconds + 0.002, f"{name} as in Server-Timing")
        between(40, run.took_ms, 40 + patient(400), "run")
        between(55, cold.took_ms, 60 + patient(2000), "cold")


@test
def attributes_say_what_it_was():
    trace = new_trace()
    with Collector() as collector, traced(collector, [echo()]) as gateway:
        headers = {"Poolgate-Tenant": "acme", "X-Request-Id": "mine-1", **traceparent(trace)}
        gateway.post("echo", b"hello", priority="high", headers=headers)
        server, _ = collector.request(trace, 2)
        equal(server.name, "POST /v1/pools/{pool}/invoke", "name")
        equal(server.resource["service.name"], "poolgate", "service.name")
        client = server.attributes.pop("client.address")
        check(client.startswith("127.0.0.1:"), client)
        equal(server.attributes, {
            "http.request.method": "POST", "http.route": "/v1/pools/{pool}/invoke", "url.path": "/v1/pools/echo/invoke",
            "http.response.status_code": 200, "poolgate.code": "ok", "poolgate.request_id": "mine-1",
            "poolgate.tenant": "acme", "poolgate.pool": "echo", "poolgate.priority": "high", "poolgate.slot": "echo/0",
            "poolgate.attempts": 1}, "attributes")


@test
def a_failure_is_an_error_of_the_span_and_a_clients_mistake_is_not():
    bad, missing = new_trace(), new_trace()
    with Collector() as collector, traced(collector, [echo()]) as gateway:
        gateway.post("echo", b"x", operation="fail", headers=traceparent(bad))
        gateway.ask("GET", "/v1/nowhere", headers=traceparent(missing))
        server, _ = collector.request(bad, 2)
        equal((server.status, server.attributes["error.type"]), (2, "worker_error"), "the worker's failure")
        server, _ = collector.request(missing, 0)
        equal((server.status, server.attributes["poolgate.code"]), (0, "not_found"), "the client's mistake")
        check("error.type" not in server.attributes, "no error.type")


@test
def the_worker_works_below_the_gateways_span():
    trace = new_trace()
    with Collector() as collector, traced(collector, [echo()]) as gateway:
        heard = told(gateway.post("echo", b"x", operation="meta", headers=traceparent(trace)))
        server, _ = collector.request(trace, 2)
        equal(heard, f"00-{trace}-{server.id}-01", "what the worker was told")


@test
def without_a_trace_of_the_clients_a_new_one_begins():
    with Collector() as collector, traced(collector, [echo()]) as gateway:
        broken = [{}, {"traceparent": "rubbish"}, traceparent("0" * 32), {"traceparent": f"ff-{new_trace()}-{PARENT}-01"}]
        heard = [told(gateway.post("echo", b"x", operation="meta", headers=headers)) for headers in broken]
        for text in heard:
            check(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text), f"{text} is a trace context")
        equal(len({text[3:35] for text in heard}), len(broken), "traces, each of its own")
        for text in heard:
            server, _ = collector.request(text[3:35], 2)
            equal((server.parent, server.id), (None, text[36:52]), "the root of its trace")


@test
def a_client_that_does_not_want_it_kept_is_heard_and_so_is_the_share():
    unwanted, wanted = new_trace(), new_trace()
    with Collector() as collector, traced(collector, [echo()], sample="0%") as gateway:
        text = told(gateway.post("echo", b"x", operation="meta", headers=traceparent(unwanted, "00")))
        check(text.startswith(f"00-{unwanted}-") and text.endswith("-00"), f"passed on unsampled: {text}")
        check(told(gateway.post("echo", b"x", operation="meta")).endswith("-00"), "0% of the others")
        gateway.post("echo", b"x", headers=traceparent(wanted))
        collector.request(wanted, 2)
        equal({span.trace for span in collector.spans}, {wanted}, "traces that were kept")


@test
def probes_are_not_traced():
    with Collector() as collector, traced(collector, [echo()]) as gateway:
        trace = new_trace()
        for path in ("/livez", "/readyz", "/metrics", "/healthz"):
            gateway.get(path, headers=traceparent(trace))
        last = new_trace()
        gateway.get("/v1/pools", headers=traceparent(last))
        collector.request(last, 0)
        equal(collector.of(trace), [], "spans of probes")


@test
def without_a_collector_a_trace_goes_through_as_it_came():
    trace = new_trace()
    with Gateway([echo()]) as gateway:
        equal(told(gateway.post("echo", b"x", operation="meta", headers=traceparent(trace, "00"))),
              f"00-{trace}-{PARENT}-00", "what the worker was told")
        equal(told(gateway.post("echo", b"x", operation="meta")), None, "without one")


@test
def a_call_is_traced_as_a_request_is():
    trace = new_trace()
    with Collector() as collector, traced(collector, [echo()]) as gateway, Node(gateway) as node:
        answer = node.invoke(payload=b"x", operation="meta", headers=traceparent(trace))
        equal(answer.status, OK, f"status ({answer.detail})")
        server, parts = collector.request(trace, 2)
        equal(answer.reply["metadata"]["echo-traceparent"], f"00-{trace}-{server.id}-01", "what the worker was told")
        equal((server.name, server.parent), ("poolgate.v1.Gateway/Invoke", PARENT), "the span")
        attributes = {key: value for key, value in server.attributes.items() if key.startswith("rpc.")}
        equal(attributes, {"rpc.system": "grpc", "rpc.service": "poolgate.v1.Gateway", "rpc.method": "Invoke",
                           "rpc.grpc.status_code": 0}, "attributes")
        check(server.attributes["client.address"].startswith("127.0.0.1:"), "the client's address")
        equal(sorted(parts), ["queue", "run"], "parts")


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fifty_in_time(gateway):
    for _ in range(50):
        reply = gateway.post("echo", b"x")
        equal(reply.status, 200, "status")
        in_time(reply.seconds, patient(0.5), "a request beside a collector that does not work")


@test
def a_collector_that_is_slow_delays_nobody_and_the_end_by_a_second_at_most():
    with Collector(delay_s=30) as collector:
        with traced(collector, [echo()]) as gateway:
            for _ in range(3):
                fifty_in_time(gateway)
            time.sleep(1.2)  # it has a batch by now, and says nothing
            fifty_in_time(gateway)
            began = time.monotonic()
            gateway.stop()
            in_time(time.monotonic() - began, patient(2.5), "the end")


@test
def a_collector_that_is_not_there_delays_nobody_and_is_one_line_of_the_log():
    with Gateway([echo()], trace={"otlp": f"http://127.0.0.1:{closed_port()}"}) as gateway:
        fifty_in_time(gateway)
        eventually(lambda: gateway.events("traces are not taken"), within=4, about="a line says so")
        fifty_in_time(gateway)
        began = time.monotonic()
        gateway.stop()
        in_time(time.monotonic() - began, patient(2.5), "the end")
        equal(len(gateway.events("traces are not taken")), 1, "lines")


@test
def what_is_lost_is_counted_and_what_was_sent_too():
    with Collector(status=400) as collector, traced(collector, [echo()]) as gateway:
        for _ in range(10):
            gateway.post("echo", b"x")
        eventually(lambda: gateway.metrics().sum("poolgate_trace_dropped_total") >= 10, within=5, about="spans are lost")
        collector.status = 200
        trace = new_trace()
        gateway.post("echo", b"x", headers=traceparent(trace))
        collector.request(trace, 2)
        eventually(lambda: gateway.metrics().sum("poolgate_trace_sent_total") >= 3, about="spans were sent")


@test
def spans_that_wait_are_sent_at_the_end():
    with Collector() as collector:
        with traced(collector, [echo()]) as gateway:
            traces = [new_trace() for _ in range(20)]
            for trace in traces:
                gateway.post("echo", b"x", headers=traceparent(trace))
        for trace in traces:
            collector.request(trace, 2)


main(__doc__)
