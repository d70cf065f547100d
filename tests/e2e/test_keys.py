#!/usr/bin/env python3
"""keys: who has one comes in through both doors, for what it allows, as often as it allows; nobody else does"""

import json
import os
import subprocess
import time
from pathlib import Path

from gateway import Gateway, echo, parse_reply, receive, request_bytes
from h2 import INVOKE, Http2, field, invoke_request
from keyed import SEEN_WITHIN, Keyed, Keys, call, refused
from support import between, build, check, equal, eventually, main, patient, test

OK, PERMISSION_DENIED, EXHAUSTED, UNAUTHENTICATED = 0, 7, 8, 16
LIST_POOLS, GET_POOL, HEALTH = ("/poolgate.v1.Gateway/ListPools", "/poolgate.v1.Gateway/GetPool",
                                "/grpc.health.v1.Health/Check")


def close_to(token):
    """The right id, a wrong last digit."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


@test
def a_key_opens_both_doors_and_nothing_else_does():
    with Keys() as keys, Keyed(keys) as gateway, Http2(gateway) as client:
        token = keys.add()
        message = invoke_request("echo", b"hello")
        gateway.until_seen(2)
        equal(gateway.post("echo", b"hello", key=token).status, 200, "over HTTP")
        equal(call(client, INVOKE, message, token).payload, b"hello", "over gRPC")
        for wrong in (None, close_to(token), token[3:], "pg_" + "0" * 16 + "_" + "0" * 64):
            reply = gateway.post("echo", b"hello", key=wrong)
            refused(reply, 401, "unauthenticated")
            equal(reply.headers["WWW-Authenticate"], 'Bearer realm="poolgate"', "WWW-Authenticate")
            answer = call(client, INVOKE, message, wrong)
            equal((answer.status, answer.code), (UNAUTHENTICATED, "unauthenticated"), f"{answer}")
        twice = request_bytes("POST", "/v1/pools/echo/invoke", b"x").replace(
            b"\r\n\r\n", f"\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n\r\n".encode(), 1)
        refused(parse_reply(receive(gateway.send(twice))), 401, "unauthenticated")
        answer = client.finish(client.begin(INVOKE, message, extra=(("authorization", f"Bearer {token}"),) * 2))
        equal(answer.status, UNAUTHENTICATED, "two over gRPC")
        for path in ("/v1/nothing", "/v1/pools/echo/nothing"):
            refused(gateway.get(path, key=None), 401, "unauthenticated")
            refused(gateway.get(path), 404, "not_found")
        refused(gateway.ask("DELETE", "/v1/pools", key=None), 401, "unauthenticated")
        gateway.served("echo", 2)
        numbers = gateway.metrics()
        refusals = [numbers.sum("poolgate_access_refused_total", frontend=door, code="unauthenticated")
                    for door in ("http", "grpc")]
        equal(refusals, [8, 5], "refusals counted at each door")


@test
def each_route_and_each_client_as_the_table_says():
    invoke, read = ("POST", "/v1/pools/echo/invoke"), [("GET", path) for path in (
        "/v1/pools", "/v1/pools/echo", "/v1/pools/echo/slots", "/healthz", "/metrics")]
    probes = [("GET", path) for path in ("/livez", "/readyz", "/startupz")]
    with Keys() as keys, Keyed(keys) as gateway, Http2(gateway) as client:
        old = keys.add("old", scope="invoke,read,admin", expires="1s")
        clients = {"none": None, "old": old, "user": keys.add("user"), "reader": keys.add("reader", scope="read"),
                   "admin": keys.add("admin", scope="admin"), "all": keys.add("all", scope="invoke,read,admin")}
        time.sleep(2.1)  # the file is seen, and the old key's second is over
        for name, key in clients.items():
            known = name not in ("none", "old")
            wants = [(route, 200) for route in probes]
            wants += [(invoke, 200 if name in ("user", "all") else 403 if known else 401)]
            wants += [(route, 200 if name in ("reader", "all") else 403 if known else 401) for route in read]
            wants += [(("GET", "/openapi.yaml"), 200 if known else 401)]
            for (method, path), status in wants:
                body = b"x" if method == "POST" else None
                equal(gateway.ask(method, path, body, key=key).status, status, f"{name}: {method} {path}")
            mine = OK if name in ("user", "all") else PERMISSION_DENIED if known else UNAUTHENTICATED
            state = OK if name in ("reader", "all") else PERMISSION_DENIED if known else UNAUTHENTICATED
            for path, message, status in ((INVOKE, invoke_request("echo", b"x"), mine), (LIST_POOLS, b"", state),
                                          (GET_POOL, field(1, "echo"), state), (HEALTH, b"", OK)):
                equal(call(client, path, message, key).status, status, f"{name}: {path}")


@test
def two_keys_rotate_and_a_revoked_one_ends_without_a_restart():
    with Keys() as keys, Keyed(keys) as gateway, Http2(gateway) as client:
        first, second = keys.add("app"), keys.add("app")
        third = keys.run("add", "app", "--tenant", "accounting")
        equal((third.returncode, third.stdout), (1, ""), "a third of the same name")
        check("two valid keys" in third.stderr, third.stderr)
        gateway.until_seen(3)
        equal(gateway.post("echo", b"x", key=second).status, 200, "the second")
        equal(gateway.post("echo", b"x", key=first).status, 200, "the first")
        equal(keys.run("revoke", first[3:19]).stdout, "1 key revoked\n", "revoked by its id")
        eventually(lambda: gateway.post("echo", b"x", key=first).status == 401, within=SEEN_WITHIN, every=0.25,
                   about="the revoked key ends")
        equal(call(client, INVOKE, invoke_request("echo", b"x"), first).status, UNAUTHENTICATED, "over gRPC as well")
        equal(gateway.post("echo", b"x", key=second).status, 200, "the second")
        keys.add("app")  # there is room again
        keys.run("revoke", "app")
        equal([key["name"] for key in keys.list()], ["test-itself"], "all of that name")
        gateway.signal(1)  # SIGHUP: at once
        eventually(lambda: gateway.post("echo", b"x", key=second).status == 401, within=0.9, every=0.1, about="SIGHUP")


@test
def the_rate_is_exact_and_told_with_every_reply():
    with Keys() as keys:
        token = keys.add(rate="1/s", burst=20, scope="invoke,read")
        with Keyed(keys) as gateway, Http2(gateway) as client:
            began, granted, last = time.monotonic(), 0, None
            while last is None or last.status == 200:
                last = gateway.post("echo", b"x", key=token) if granted % 2 else gateway.get("/v1/pools", key=token)
                granted += last.status == 200
                left = last.headers["RateLimit"]
                equal(last.headers["RateLimit-Policy"], '"rate";q=20;w=20', "RateLimit-Policy")
                check(left.startswith('"rate";r=') and ";t=" in left, left)
            seconds = time.monotonic() - began
            between(20, granted, 20 + int(seconds) + 1, f"granted within {seconds:.2f} s")
            refused(last, 429, "rate_limited")
            equal((left.split(";")[1], last.headers["Retry-After"]), ("r=0", "1"), "what is left, and when to come again")
            between(1, last.json()["retry_after_ms"], 1000, "retry_after_ms")
            answer = call(client, INVOKE, invoke_request("echo", b"x"), token)
            if answer.status != OK:  # a second may have passed
                equal((answer.status, answer.code), (EXHAUSTED, "rate_limited"), f"{answer}")
                between(1, int(answer.trailers["grpc-retry-pushback-ms"]), 1000, "grpc-retry-pushback-ms")
            check(gateway.get("/livez", key=token).status == 200, "probes are not counted")
            equal(gateway.post("echo", b"x").status, 200, "another tenant is not held up")
            equal(gateway.post("echo", b"x").headers["RateLimit"], None, "a key without limits tells none")


@test
def concurrency_is_exact_and_one_after_the_other_is_one_at_a_time():
    with Keys() as keys:
        two, one = keys.add("two", concurrency=2), keys.add("one", tenant="sales", concurrency=1)
        with Keyed(keys, [echo(slots=4)]) as gateway, Http2(gateway) as client:
            headers = {"Authorization": f"Bearer {two}"}
            held = [gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(700))}", headers=headers))
                    for _ in range(2)]
            gateway.until_processing("echo", 2)
            reply = gateway.post("echo", b"x", key=two)
            refused(reply, 429, "rate_limited")
            equal(reply.headers["RateLimit"], '"concurrency";r=0', "RateLimit")
            equal(call(client, INVOKE, invoke_request("echo", b"x"), two).status, EXHAUSTED, "the other door counts too")
            equal([parse_reply(receive(connection)).status for connection in held], [200, 200], "those that were there")
            equal(gateway.post("echo", b"x", key=two).status, 200, "afterwards")
            for _ in range(150):
                equal(call(client, INVOKE, invoke_request("echo", b"x"), one).status, OK, "one after the other, gRPC")
                equal(gateway.post("echo", b"x", key=one).status, 200, "one after the other, HTTP")
            for _ in range(20):  # who leaves gives the place back as well
                gateway.send(gateway.raw_post("echo", b"x", "delay:20", headers={"Authorization": f"Bearer {one}"})).close()
            eventually(lambda: gateway.post("echo", b"x", key=one).status == 200, about="the place is free")


@test
def wrong_keys_make_the_wrong_ones_of_an_address_wait():
    with Keys() as keys:
        good = keys.add()
        with Keyed(keys) as gateway:
            for _ in range(10):
                refused(gateway.post("echo", b"x", key=close_to(good), address="127.0.0.2"), 401, "unauthenticated")
            reply = gateway.post("echo", b"x", key=close_to(good), address="127.0.0.2")
            refused(reply, 429, "rate_limited")
            between(5, int(reply.headers["Retry-After"]), 10, "Retry-After")
            equal(gateway.post("echo", b"x", key=good, address="127.0.0.2").status, 200, "a right key from there")
            refused(gateway.post("echo", b"x", key=None, address="127.0.0.2"), 401, "unauthenticated")
            equal(gateway.get("/livez", key=None, address="127.0.0.2").status, 200, "a probe from there")
            equal(gateway.post("echo", b"x", key=good).status, 200, "the good key from elsewhere")
            equal([line["address"] for line in gateway.events("wrong keys")], ["::ffff:127.0.0.2"], "the log says where")


@test
def a_key_names_its_tenant_and_its_best_class():
    with Keys() as keys:
        token = keys.add(tenant="accounting", max_priority="low")
        with Keyed(keys, [echo(slots=1)], auth={"trust_tenant_header": True}) as gateway, Http2(gateway) as client:
            busy = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(900))}",
                                                 headers={"Authorization": f"Bearer {gateway.key}"}))
            gateway.until_slot("echo", "processing")
            waits = [gateway.send(gateway.raw_post("echo", b"x", priority="critical", headers={
                "Authorization": f"Bearer {token}", "Poolgate-Tenant": "sales"})) for _ in range(2)]
            stream = client.begin(INVOKE, invoke_request("echo", b"x", priority="high", tenant="sales"),
                                  extra=(("authorization", f"Bearer {token}"),))
            queue = eventually(lambda: (now := gateway.pool("echo")["queue"])["waiting"] >= 2 and now, about="they wait")
            equal(queue["by_priority"]["low"], queue["waiting"], f"they wait as low: {queue}")
            check("accounting" in queue["tenants"] and "sales" not in queue["tenants"], f"{queue['tenants']}")
            equal([parse_reply(receive(each)).status for each in (busy, *waits)], [200] * 3, "all are answered")
            equal(client.finish(stream).status, OK, "over gRPC too")


@test
def no_secret_is_anywhere_but_where_it_belongs():
    with Keys() as keys:
        token = keys.add(scope="invoke,read")
        with Keyed(keys, [echo(slots=2)], log={"level": "debug"}, environment={"POOLGATE_KEY": token}) as gateway, \
                Http2(gateway) as client:
            canaries = [token, token[20:], close_to(token)[20:], gateway.key[20:], keys.run("list", "--json").stdout and
                        json.loads(keys.file.read_text())["keys"][0]["hash"]]
            pages = [gateway.get("/metrics").body, gateway.get("/v1/pools/echo/slots").body, gateway.get("/healthz").body]
            for key in (token, close_to(token), token + "x", token * 2):
                for path in ("/v1/pools", f"/v1/pools/{key}", "/v1/pools/echo/invoke"):
                    reply = gateway.get(path, key=key)
                    if key not in path:
                        pages.append(bytes(str(reply.headers), "latin-1") + reply.body)
            for key in (token, close_to(token)):
                pages.append(str(call(client, INVOKE, invoke_request("echo", b"x", operation="fail"), key)).encode())
                pages.append(str(call(client, "/poolgate.v1.Gateway/No", b"", key)).encode())
                pages.append(gateway.post("echo", b"x", "crash", key=key).body)
            gateway.signal(1)
            time.sleep(0.3)
            pages.append(gateway.log_text().encode())
            pages.append(keys.run("list").stdout.encode() + keys.run("list", "--json").stdout.encode())
            for pid in (gateway.pid, *gateway.marked_processes()):
                pages.append(Path(f"/proc/{pid}/cmdline").read_bytes())
                if pid != gateway.pid:
                    pages.append(Path(f"/proc/{pid}/environ").read_bytes())
            check(len(pages) > 20, f"{len(pages)} pages")
            for page in pages:
                for canary in canaries:
                    check(canary.encode() not in page, f"a secret in {page[:400]!r}")


@test
def administration_has_an_address_of_its_own():
    with Keys() as keys, Keyed(keys, admin={"listen": "127.0.0.1:0"}) as gateway:
        host, port = gateway.events("listening")[0]["admin"].rsplit(":", 1)
        public = gateway.port

        def at_admin(method, path, **more):
            gateway.port = int(port)
            try:
                return gateway.ask(method, path, **more)
            finally:
                gateway.port = public

        refused(gateway.get("/metrics"), 404, "not_found")
        equal(at_admin("GET", "/metrics").status, 200, "metrics there")
        equal(at_admin("GET", "/metrics", key=None).status, 200, "who can reach it is the operator")
        refused(at_admin("GET", "/metrics", key="pg_wrong"), 401, "unauthenticated")
        refused(at_admin("POST", "/v1/pools/echo/invoke", body=b"x"), 404, "not_found")
        for path in ("/v1/pools", "/v1/pools/echo/slots", "/healthz", "/livez", "/readyz"):
            equal((gateway.get(path).status, at_admin("GET", path).status), (200, 200), path)
        equal(gateway.post("echo", b"x").status, 200, "clients where they were")


@test
def without_keys_everything_but_administration_is_open_and_metrics_move():
    with Gateway([echo()], conserve=False, admin={"listen": "127.0.0.1:0"}) as gateway:
        equal(gateway.post("echo", b"x", headers={"Authorization": "Bearer nonsense"}).status, 200, "no key is asked for")
        equal(gateway.get("/metrics").status, 404, "metrics at the public address")
        gateway.port = int(gateway.events("listening")[0]["admin"].rsplit(":", 1)[1])
        equal(gateway.get("/metrics").status, 200, "metrics at the other")


@test
def a_page_from_elsewhere_gets_nothing_out_of_loopback():
    page, listed = "https://evil.example", "https://app.example"
    with Gateway([echo()], conserve=False, http={"origins": [listed]}) as gateway:
        for host in (f"localhost:{gateway.port}", f"127.0.0.1:{gateway.port}", "[::1]", "app.example"):
            equal(gateway.get("/livez", headers={"Host": host}).status, 200, f"Host: {host}")
        for host in ("evil.example", f"evil.example:{gateway.port}", "10.1.2.3"):
            refused(gateway.get("/v1/pools", headers={"Host": host}), 403, "permission_denied")
            refused(gateway.post("echo", b"x", headers={"Host": host}), 403, "permission_denied")
        for origin in (page, "null", "http://localhost:1"):
            reply = gateway.post("echo", b"x", headers={"Origin": origin})
            refused(reply, 403, "permission_denied")
            equal(reply.headers["Access-Control-Allow-Origin"], None, "what an unlisted page may read")
        equal(gateway.post("echo", b"x", headers={"Origin": gateway.url}).status, 200, "the same origin")
        reply = gateway.post("echo", b"x", headers={"Origin": listed})
        equal((reply.status, reply.headers["Access-Control-Allow-Origin"], reply.headers["Vary"]), (200, listed, "Origin"),
              "a listed one")
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        reply = gateway.ask("OPTIONS", "/v1/pools/echo/invoke", headers={"Origin": listed, **ask})
        equal((reply.status, reply.headers["Access-Control-Allow-Methods"]), (204, "POST, OPTIONS"), "preflight")
        check("Authorization" in reply.headers["Access-Control-Allow-Headers"], "headers that may be sent")
        refused(gateway.ask("OPTIONS", "/v1/pools/echo/invoke", headers={"Origin": page, **ask}), 403, "permission_denied")
        gateway.served("echo", 2)
        with gateway.connect() as old:
            old.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            check(receive(old).startswith(b"HTTP/1.1 200"), "HTTP/1.0 without Host")


@test
def a_preflight_needs_no_key_and_the_request_after_it_does():
    with Keys() as keys, Keyed(keys, http={"origins": ["https://app.example"]}) as gateway:
        asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        equal(gateway.ask("OPTIONS", "/v1/pools", headers=asks, key=None).status, 204, "preflight")
        refused(gateway.ask("OPTIONS", "/v1/pools", key=None), 401, "unauthenticated")
        refused(gateway.get("/v1/pools", headers={"Origin": asks["Origin"]}, key=None), 401, "unauthenticated")


@test
def a_broken_key_file_keeps_the_old_keys_and_is_told():
    with Keys() as keys:
        token = keys.add()
        with Keyed(keys) as gateway:
            good = keys.file.read_bytes()
            keys.file.write_text('{"version": 1, "keys": [{"id": "short"}]}')
            line = eventually(lambda: gateway.events("keys_refused"), within=SEEN_WITHIN, about="it is told")[0]
            check("16 lower-case hexadecimal digits" in gateway.log_text(), f"{line}")
            equal(gateway.post("echo", b"x", key=token).status, 200, "the old keys")
            keys.file.write_bytes(good)
            keys.file.chmod(0o644)
            eventually(lambda: len(gateway.events("keys_refused")) > 1, within=SEEN_WITHIN, about="others may read it")
            keys.file.unlink()
            eventually(lambda: len(gateway.events("keys_refused")) > 2, within=SEEN_WITHIN, about="it is gone")
            equal(gateway.post("echo", b"x", key=token).status, 200, "the old keys still")
            keys.add("fresh")
            eventually(lambda: gateway.post("echo", b"x", key=token).status == 401, within=SEEN_WITHIN, every=0.25,
                       about="a new file counts")
            time.sleep(1.2)
            equal(len(gateway.events("keys_refused")), 3, "one line for each")


@test
def a_key_file_that_cannot_be_used_is_a_mistake_of_the_configuration():
    with Keys() as keys:
        config = keys.folder / "poolgate.yaml"
        config.write_text(f"auth:\n  keys_file: {keys.file}\npools: [{{name: a, worker: {{plugin: echo}}}}]\n")

        def said():
            run = subprocess.run([build.program, "serve", "--config", config], capture_output=True, text=True, env={},
                                 timeout=patient(5), check=False)
            equal(run.returncode, 2, "exit code")
            check(run.stderr.startswith(f"{config}:2: auth.keys_file: "), run.stderr)
            return run.stderr

        check("No such file" in said(), "it is missing")
        run = subprocess.run([build.program, "key", "add", "a", "--tenant", "b", "--config", config],
                             capture_output=True, text=True, env={}, check=False)
        equal((run.returncode, len(run.stdout.strip())), (0, 84), f"the file is made where the configuration says ({run.stderr})")
        equal(keys.file.stat().st_mode & 0o777, 0o600, "mode")
        keys.file.chmod(0o640)
        check("mode 0640" in said(), "others may read it")
        keys.file.chmod(0o600)
        keys.file.write_text("{")
        check("not JSON" in said(), "it is broken")


@test
def the_command_says_what_is_wrong():
    with Keys() as keys:
        wrong = {(): "add, list or revoke", ("dance",): "there is no dance", ("add",): "needs the name",
                 ("add", "a"): "--tenant", ("add", "a b", "--tenant", "t"): "1 to 63", ("revoke",): "needs the name",
                 ("add", "a", "--tenant", "t", "--rate", "fast"): "--rate fast", ("list", "extra"): "unexpected",
                 ("add", "a", "--tenant", "t", "--rate", "1"): "1/s to", ("add", "a", "--tenant", "t", "--burst", "3"): "--rate",
                 ("add", "a", "--tenant", "t", "--scope", "root"): "invoke, read and admin",
                 ("add", "a", "--tenant", "t", "--expires", "never"): "--expires",
                 ("add", "a", "--tenant", "t", "--expires", "2001-01-01T00:00:00Z"): "to come",
                 ("add", "a", "--tenant", "t", "--concurrency", "0"): "--concurrency",
                 ("add", "a", "--tenant", "t", "--max-priority", "top"): "critical", ("list", "--loud"): "unknown option"}
        for words, expected in wrong.items():
            run = keys.run(*words)
            equal((run.returncode, run.stdout), (2, ""), f"{words}: exit code and output")
            check(expected in run.stderr and run.stderr.count("\n") == 1, f"{words}: {run.stderr!r}")
        equal(keys.run("list", file=False).returncode, 2, "no file is named")
        for words in (("list",), ("revoke", "a")):
            equal(keys.run(*words).returncode, 1, f"{words} without a file")
        check(not keys.file.exists(), "nothing was made")
        keys.add("a", rate="7/s", expires="90d")
        (key,) = keys.list()
        equal((key["name"], key["rate"], key["burst"], key["concurrency"], key["valid"]), ("a", 7, 7, None, True), "the list")
        check("hash" not in key and "salt" not in key, "no secrets in the list")
        equal(keys.run("revoke", "b").returncode, 1, "revoking what is not there")
        check("usage: poolgate key" in keys.run("--help", file=False).stdout, "help")


@test
def the_programs_own_clients_show_a_key():
    with Keys() as keys, Keyed(keys) as gateway:
        def run(*words, key=gateway.key):
            environment = {**os.environ, "POOLGATE_URL": gateway.url, **({"POOLGATE_KEY": key} if key else {})}
            return subprocess.run([build.program, *words], input=b"hello", capture_output=True, env=environment, check=False)

        grpc = gateway.events("listening")[0]["grpc"]
        equal(run("invoke", "echo").stdout, b"hello", "invoke")
        equal(run("invoke", "echo", "--grpc", "--url", grpc).stdout, b"hello", "invoke --grpc")
        equal(run("status").returncode, 0, "status")
        equal(run("status", "--ready", key=None).returncode, 0, "status --ready without one")
        for words in (("invoke", "echo"), ("invoke", "echo", "--grpc", "--url", grpc), ("status",)):
            refusal = run(*words, key=None)
            check(refusal.returncode == 1 and b"unauthenticated" in refusal.stderr, f"{words}: {refusal}")


main(__doc__)
