#!/usr/bin/env python3
"""openapi: the running gateway serves openapi.yaml and answers as it says"""

import json
import re
import subprocess
import sys
import tempfile

from gateway import Gateway, echo, parse_reply, receive
from support import ROOT, build, check, equal, eventually, main, patient, skip, test

FILE = ROOT / "openapi.yaml"
READ = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin.buffer), sys.stdout, default=str)"
KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
         "null": type(None)}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


def read(data):
    """YAML as Python's objects; which python3 has the module differs."""
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3")):
        run = subprocess.run([python, "-c", READ], input=data, capture_output=True, check=False)
        if run.returncode == 0:
            return json.loads(run.stdout)
    skip("python3-yaml is not installed")


class Document:
    """openapi.yaml, and whether something is as it says. It knows the words of JSON Schema that the document uses;
    another one is an error."""

    WORDS = {"$ref", "description", "type", "format", "enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength",
             "maxItems", "required", "properties", "additionalProperties", "items"}

    def __init__(self):
        self.tree = read(FILE.read_bytes())

    def resolve(self, node):
        while "$ref" in node:
            path = node["$ref"].removeprefix("#/").split("/")
            node = self.tree
            for word in path:
                node = node[word]
        return node

    def fits(self, value, schema, where):
        schema = self.resolve(schema)
        check(set(schema) <= self.WORDS, f"{where}: this test does not know {set(schema) - self.WORDS}")
        self._fits_kind(value, schema, where)
        check(value in schema.get("enum", [value]), f"{where} is one of {schema.get('enum')}: {value!r}")
        equal(value, schema.get("const", value), where)
        if isinstance(value, str):
            check(re.search(schema.get("pattern", ""), value), f"{where} matches {schema.get('pattern')}: {value!r}")
            check(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 20), f"{where}: {value!r}")
            if schema.get("format") == "date-time":
                check(re.fullmatch(TIME, value), f"{where} is a time: {value!r}")
        if isinstance(value, (int, float)) and "minimum" in schema:
            check(value >= schema["minimum"], f"{where} is at least {schema['minimum']}: {value!r}")
        if isinstance(value, (int, float)) and "maximum" in schema:
            check(value <= schema["maximum"], f"{where} is at most {schema['maximum']}: {value!r}")
        if isinstance(value, list):
            check(len(value) <= schema.get("maxItems", len(value)), f"{where} has {len(value)} items")
            for index, item in enumerate(value):
                self.fits(item, schema.get("items", {}), f"{where}[{index}]")
        if isinstance(value, dict) and "type" in schema:
            self._members_fit(value, schema, where)

    @staticmethod
    def _fits_kind(value, schema, where):
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        fit = not kinds or any(isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
                               for kind in kinds)
        check(fit, f"{where} is {' or '.join(kinds)}: {value!r}")

    def _members_fit(self, value, schema, where):
        """What is required is there, and nothing is there that the document does not know."""
        for name in schema.get("required", []):
            check(name in value, f"{where}.{name} is missing in {sorted(value)}")
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            check(known is not None, f"{where}.{name} is not in the document")
            self.fits(inner, known, f"{where}.{name}")

    def answers(self, method, template, reply):
        """The reply is one that the document knows at this path."""
        where = f"{method} {template}: {reply.status}"
        responses = self.tree["paths"][template][method.lower()]["responses"]
        check(str(reply.status) in responses or reply.status in (404, 405), f"{where} is not in the document")
        response = self.resolve(responses.get(str(reply.status)) or responses["default"])
        self._headers_fit(reply, response.get("headers", {}), where)
        if "content" not in response:
            equal((reply.body, reply.headers["Content-Type"]), (b"", None), f"body and type of {where}")
            return
        kind = reply.headers["Content-Type"]
        check(kind in response["content"] or "*/*" in response["content"], f"{where}: {kind} is not in the document")
        schema = response["content"].get(kind, response["content"].get("*/*"))["schema"]
        self.fits(reply.json() if "json" in kind else reply.body.decode(errors="replace"), schema, where)

    def _headers_fit(self, reply, headers, where):
        for name, header in headers.items():
            header, value = self.resolve(header), reply.headers[name]
            check(value is not None or not header.get("required"), f"{where}: {name} is missing")
            if value is not None:
                number = header["schema"].get("type") == "integer"
                self.fits(int(value) if number else value, header["schema"], f"{where}: {name}")


def mappings(node):
    """Every mapping in a tree, the tree itself first."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(inner)


@test
def the_document_is_served_with_a_tag():
    with Gateway([echo()]) as gateway:
        reply = gateway.get("/openapi.yaml")
        equal((reply.status, reply.headers["Content-Type"]), (200, "application/yaml"), "status and type")
        equal(reply.body, FILE.read_bytes(), "the document")
        tag = reply.headers["ETag"]
        head = gateway.ask("HEAD", "/openapi.yaml")
        equal((head.status, head.headers["ETag"], head.body), (200, tag, b""), "HEAD")
        equal(head.headers["Content-Length"], str(len(reply.body)), "Content-Length of HEAD")
        document = Document()
        for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ("*", 304), ('"other"', 200)):
            again = gateway.get("/openapi.yaml", headers={"If-None-Match": known})
            equal(again.status, status, f"status with If-None-Match: {known}")
            document.answers("GET", "/openapi.yaml", again)


@test
def every_example_fits_its_schema():
    document, examples = Document(), 0
    for node in mappings(document.tree):
        for content in (c for c in node.get("content", {}).values() if isinstance(c, dict)):
            for name, example in content.get("examples", {}).items():
                document.fits(example["value"], content["schema"], f"example {name}")
                examples += 1
        if {"schema", "example"} <= set(node):
            document.fits(node["example"], node["schema"], f"example {node['example']}")
            examples += 1
    check(examples > 30, f"only {examples} examples were found")


@test
def every_problem_example_says_what_its_code_means():
    document = Document()
    problems = [node for node in mappings(document.tree) if str(node.get("type")).startswith("urn:")]
    check(len(problems) > 10, f"only {len(problems)} were found")
    for problem in problems:
        equal(problem["type"], f"urn:poolgate:problem:{problem['code']}", "type")
        equal(problem["retry_after_ms"] is not None, problem["status"] in (429, 503), f"retry_after_ms of {problem}")


@test
def state_probes_and_metrics_answer_as_documented():
    document = Document()
    paths = ["/v1/pools", "/v1/pools/{pool}", "/v1/pools/{pool}/slots", "/livez", "/readyz", "/startupz", "/healthz",
             "/metrics", "/openapi.yaml"]
    operations = {path for path, item in document.tree["paths"].items() if "get" in item}
    equal({*paths, "/v1/quarantine", "/v1/requests/{id}", "/v1/events"}, operations,
          "the paths that this test, the next one and events ask, against the document's")
    with Gateway([echo(slots=2, capability="vision")], conserve=False) as gateway:
        gateway.post("echo", b"x", "fail")
        busy = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(300))}",
                                             headers={"Poolgate-Tenant": "accounting"}))
        gateway.until_processing("echo")
        for path in paths:
            document.answers("GET", path, gateway.get(path.format(pool="echo")))
            document.answers("GET", path, gateway.ask("PUT", path.format(pool="echo")))
            if "{pool}" in path:
                document.answers("GET", path, gateway.get(path.format(pool="nobody")))
        equal(parse_reply(receive(busy)).status, 200, "the busy one")


@test
def administration_and_tracking_answer_as_documented():
    document = Document()
    with Gateway([echo(slots=(1, 2), breaker={"failures": 100})], conserve=False,
                 admin={"listen": "127.0.0.1:0"}) as gateway:
        public, there = gateway.port, int(gateway.events("listening")[0]["admin"].rsplit(":", 1)[1])

        def answers(method, template, status, name="", body=None, query=""):
            gateway.port = public if "/requests/" in template else there
            path = template.replace("{pool}", name).replace("{id}", name)
            reply = gateway.ask(method, path + query, body)
            gateway.port = public
            equal(reply.status, status, f"{method} {path}: {reply!r}")
            document.answers(method, template, reply)
            return reply

        for act in ("pause", "resume", "unload", "drain", "load"):
            answers("POST", f"/v1/pools/{{pool}}/{act}", 200, "echo")
            answers("POST", f"/v1/pools/{{pool}}/{act}", 404, "nobody")
        for status, name, body in ((200, "echo", b'{"min": 1, "max": 2}'), (400, "echo", b"{}"), (404, "nobody", b"{}"),
                                   (413, "echo", b" " * 2000)):
            answers("POST", "/v1/pools/{pool}/scale", status, name, body)
        deadly = {"X-Request-Id": "deadly", "Poolgate-Tenant": "accounting"}
        eventually(lambda: gateway.post("echo", b"x", "crash", headers=deadly).status == 422, about="one is buried")
        grave = answers("GET", "/v1/quarantine", 200).json()["quarantine"][0]["id"]
        answers("GET", "/v1/quarantine", 400, query="?limit=many")
        answers("GET", "/v1/requests/{id}", 200, "deadly")
        answers("GET", "/v1/requests/{id}", 404, "nobody")
        answers("POST", "/v1/pools/{pool}/pause", 200, "echo")
        fresh = answers("POST", "/v1/quarantine/{id}/kick", 202, grave).json()["request_id"]
        answers("POST", "/v1/quarantine/{id}/kick", 409, grave)
        answers("POST", "/v1/quarantine/{id}/kick", 404, "7")
        answers("GET", "/v1/requests/{id}", 200, fresh)
        answers("DELETE", "/v1/requests/{id}", 200, fresh)
        answers("DELETE", "/v1/requests/{id}", 404, "nobody")
        eventually(lambda: not answers("GET", "/v1/quarantine", 200).json()["quarantine"][0]["kicked"],
                   about="what was stopped before it ran is buried as it was")
        answers("DELETE", "/v1/quarantine/{id}", 204, grave)
        answers("DELETE", "/v1/quarantine/{id}", 404, grave)


@test
def probes_of_a_gateway_that_cannot_serve_answer_as_documented():
    document = Document()
    with Gateway([echo(args={"load_ms": 600_000})], wait=None, conserve=False) as gateway:
        for path in ("/readyz", "/startupz"):
            reply = gateway.get(path)
            equal(reply.status, 503, f"status of {path}")
            document.answers("GET", path, reply)


@test
def invocations_answer_as_documented():
    document, path = Document(), "/v1/pools/{pool}/invoke"
    pools = [echo(retry={"crashes": 0}), echo("full", queue={"capacity": 1, "reserve": "0%"}),
             echo("deadly", slots=2, retry={"crashes": 1}), echo("broken", breaker={"failures": 1})]
    with Gateway(pools, conserve=False, http={"max_body": "1MiB"}) as gateway:
        def answers(status, pool, body=b"x", *arguments, **more):
            reply = gateway.post(pool, body, *arguments, **more)
            equal(reply.status, status, f"status of {reply!r}")
            document.answers("POST", path, reply)

        answers(200, "echo")
        answers(400, "echo", b"x", "invalid")
        answers(400, "echo", b"x", timeout_ms="soon")
        answers(404, "nobody")
        answers(413, "echo", b"x" * ((1 << 20) + 1))
        answers(415, "echo", b"x", "no-such-operation")
        answers(422, "deadly", b"x", "crash")
        answers(500, "echo", b"x", "fail")
        answers(502, "echo", b"x", "crash")
        answers(504, "echo", b"x", "delay:30000", timeout_ms=200)
        answers(500, "broken", b"x", "fail")
        eventually(lambda: gateway.pool("broken")["breaker"]["state"] == "open", about="the breaker is open")
        answers(503, "broken")
        held = [gateway.send(gateway.raw_post("full", b"x", f"delay:{int(patient(800))}"))]
        gateway.until_slot("full", "processing")
        held.append(gateway.send(gateway.raw_post("full", b"x")))
        gateway.until_waiting("full", 1)
        answers(503, "full")
        for connection in held:
            document.answers("POST", path, parse_reply(receive(connection)))


@test
def refusals_of_keys_and_pages_answer_as_documented():
    document = Document()
    paths = ["/v1/pools", "/v1/pools/{pool}", "/v1/pools/{pool}/slots", "/healthz", "/metrics", "/openapi.yaml"]
    with tempfile.TemporaryDirectory() as folder:
        def add(*words):
            run = subprocess.run([build.program, "key", "add", *words, "--tenant", "t", "--file", f"{folder}/keys.json"],
                                 capture_output=True, text=True, check=True, env={})
            return {"Authorization": f"Bearer {run.stdout.strip()}"}

        user, reader = add("user", "--rate", "1/s", "--burst", "2", "--concurrency", "3"), add("reader", "--scope", "read")
        with Gateway([echo()], conserve=False, auth={"keys_file": f"{folder}/keys.json"}) as gateway:
            def answers(method, path, status, headers):
                body = b"x" if method == "POST" else None
                reply = gateway.ask(method, path.format(pool="echo"), body, headers=headers)
                equal(reply.status, status, f"status of {method} {path}: {reply!r}")
                document.answers(method, path, reply)

            for path in paths:
                answers("GET", path, 401, {})
                answers("GET", path, 200, reader)
                answers("GET", path, 403, {**reader, "Host": "evil.example"})
            invoke = "/v1/pools/{pool}/invoke"
            answers("POST", invoke, 403, reader)
            answers("POST", invoke, 200, user)
            answers("POST", invoke, 200, user)
            answers("POST", invoke, 429, user)
            answers("GET", "/v1/pools", 403, user)
            answers("GET", "/livez", 403, {"Host": "evil.example"})


@test
def a_client_that_is_too_slow_is_answered_as_documented():
    document = Document()
    with Gateway([echo()], http={"header_timeout": "200ms"}) as gateway:
        reply = parse_reply(receive(gateway.send(b"GET /livez HTTP/1.1\r\n")))
        equal(reply.status, 408, "status")
        document.answers("GET", "/livez", reply)


main(__doc__)
