"""collector - an OTLP/HTTP collector of the test's own, that does what it is told.

    with Collector() as collector:
        ... Gateway(..., trace={"otlp": collector.url})
        spans = collector.spans_of(trace_id)

It keeps every span, as objects with what OTLP calls them; `delay_s` and `status` say how it answers.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support import equal, eventually


class Span:
    def __init__(self, fields, resource):
        self.trace, self.id, self.parent = fields["traceId"], fields["spanId"], fields.get("parentSpanId")
        self.name, self.kind = fields["name"], fields["kind"]
        self.begin, self.end = int(fields["startTimeUnixNano"]), int(fields["endTimeUnixNano"])
        self.status = fields.get("status", {}).get("code", 0)
        self.resource = resource
        self.attributes = attributes_of(fields)

    def __repr__(self):
        return f"<{self.name} {self.id} under {self.parent}, {self.took_ms:.3f} ms>"

    @property
    def took_ms(self):
        return (self.end - self.begin) / 1e6


def attributes_of(fields):
    values = {pair["key"]: pair["value"] for pair in fields.get("attributes", [])}
    return {key: value["stringValue"] if "stringValue" in value else int(value["intValue"])
            for key, value in values.items()}


class Collector:
    def __init__(self, delay_s=0.0, status=200):
        self.delay_s, self.status, self.spans, self.posts = delay_s, status, [], 0
        self.lock, self.released = threading.Lock(), threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                owner.take(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.released.wait(self.delay_s)
        with self.lock:
            self.posts += 1
            equal((request.path, request.headers["Content-Type"]), ("/v1/traces", "application/json"), "what was sent")
            if self.status == 200:
                self.spans += [Span(fields, attributes_of(resource["resource"]))
                               for resource in body["resourceSpans"] for scope in resource["scopeSpans"]
                               for fields in scope["spans"]]
        try:
            request.send_response(self.status)
            request.send_header("Content-Length", "2")
            request.end_headers()
            request.wfile.write(b"{}")
        except OSError:
            pass  # the gateway has lost its patience

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def of(self, trace):
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def request(self, trace, parts):
        """The server span of this trace and its parts by name, once all have come."""
        found = eventually(lambda: len(spans := self.of(trace)) > parts and spans, within=8,
                           about=f"{parts + 1} spans of {trace}")
        time.sleep(0.05)  # there must not be more
        equal(len(self.of(trace)), parts + 1, f"spans of the trace: {found}")
        server = next(span for span in found if span.kind == 2)
        return server, {span.name: span for span in found if span is not server}
