"""http1 - group G: HTTP/1.1 by people who do not mean well, straight and through proxies."""

import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from ledger import p99_ms, steady
from operations import free_port, is_bound
from stage import C, stage
from support import eventually
from trial import trial

MIB = 1 << 20
HIDDEN = "hidden-%04d"


def hidden(number):
    """A request that must never run."""
    return (f"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {HIDDEN % number}\r\n"
            "Content-Length: 1\r\n\r\nh")


def framed(number, *fields, body=None, version="1.1", first="POST /v1/pools/echo/invoke"):
    """A request with the fields that are to be misread, and behind its body the hidden one."""
    head = "".join(f"{field}\r\n" for field in fields)
    return f"{first} HTTP/{version}\r\nHost: localhost\r\n{head}\r\n{body or ''}{hidden(number)}"


def smuggling():
    """Names after the cases that everybody's lists have; what they send; each must be refused and closed."""
    chunk = "5\r\nhello\r\n0\r\n\r\n"
    length = "Content-Length: 5"
    return {
        "CL-TE": lambda n: framed(n, length, "Transfer-Encoding: chunked", body=chunk),
        "TE-CL": lambda n: framed(n, "Transfer-Encoding: chunked", length, body=chunk),
        "TE-TE": lambda n: framed(n, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=chunk),
        "TE-twice": lambda n: framed(n, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=chunk),
        "TE-list": lambda n: framed(n, "Transfer-Encoding: chunked, chunked", body=chunk),
        "TE-unknown": lambda n: framed(n, "Transfer-Encoding: cow", body="hello"),
        "TE-xchunked": lambda n: framed(n, "Transfer-Encoding: xchunked", body=chunk),
        "TE-quoted": lambda n: framed(n, 'Transfer-Encoding: "chunked"', body=chunk),
        "TE-vt": lambda n: framed(n, "Transfer-Encoding: \x0bchunked", body=chunk),
        "TE-on-1.0": lambda n: framed(n, "Transfer-Encoding: chunked", body=chunk, version="1.0"),
        "TE-space-colon": lambda n: framed(n, "Transfer-Encoding : chunked", body=chunk),
        "TE-tab-colon": lambda n: framed(n, "Transfer-Encoding\t: chunked", body=chunk),
        "CL-twice": lambda n: framed(n, length, "Content-Length: 6", body="hello"),
        "CL-same-twice": lambda n: framed(n, length, length, body="hello"),
        "CL-list": lambda n: framed(n, "Content-Length: 5, 5", body="hello"),
        "CL-plus": lambda n: framed(n, "Content-Length: +5", body="hello"),
        "CL-minus": lambda n: framed(n, "Content-Length: -5", body="hello"),
        "CL-hex": lambda n: framed(n, "Content-Length: 0x5", body="hello"),
        "CL-huge": lambda n: framed(n, "Content-Length: 99999999999999999999", body="hello"),
        "CL-empty": lambda n: framed(n, "Content-Length:", body=""),
        "CL-space-colon": lambda n: framed(n, "Content-Length : 5", body="hello"),
        "CL-underscore-space": lambda n: framed(n, "Content-Length: 5 5", body="hello"),
        "CL-trailing": lambda n: framed(n, "Content-Length: 5x", body="hello"),
        "fold": lambda n: framed(n, "X-A: one\r\n two", length, body="hello"),
        "fold-CL": lambda n: framed(n, "X-A: one\r\n Content-Length: 100", length, body="hello"),
        "bare-LF": lambda n: framed(n, "X-A: one\nContent-Length: 5", body="hello"),
        "bare-CR": lambda n: framed(n, "X-A: one\rContent-Length: 5", length, body="hello"),
        "NUL-value": lambda n: framed(n, "X-A: one\0two", length, body="hello"),
        "NUL-name": lambda n: framed(n, "X-\0A: one", length, body="hello"),
        "control-value": lambda n: framed(n, "X-A: one\x07two", length, body="hello"),
        "empty-name": lambda n: framed(n, ": one", length, body="hello"),
        "space-in-name": lambda n: framed(n, "X A: one", length, body="hello"),
        "no-colon": lambda n: framed(n, "X-A one", length, body="hello"),
        "two-hosts": lambda n: framed(n, "Host: elsewhere", length, body="hello"),
        "no-host": lambda n: f"POST /v1/pools/echo/invoke HTTP/1.1\r\n{length}\r\n\r\nhello{hidden(n)}",
        "version-9.9": lambda n: framed(n, length, body="hello", version="9.9"),
        "version-2.0": lambda n: framed(n, length, body="hello", version="2.0"),
        "version-missing": lambda n: f"POST /v1/pools/echo/invoke\r\n{length}\r\n\r\nhello{hidden(n)}",
        "method-control": lambda n: framed(n, length, body="hello", first="PO\x01ST /v1/pools/echo/invoke"),
        "method-lower-space": lambda n: framed(n, length, body="hello", first=" POST /v1/pools/echo/invoke"),
        "target-space": lambda n: framed(n, length, body="hello", first="POST /v1/pools/echo/in voke"),
        "chunk-bare-LF": lambda n: framed(n, "Transfer-Encoding: chunked", body="5\nhello\r\n0\r\n\r\n"),
        "chunk-ext-LF": lambda n: framed(n, "Transfer-Encoding: chunked", body="5;a\nhello\r\n0\r\n\r\n"),
        "chunk-negative": lambda n: framed(n, "Transfer-Encoding: chunked", body="-5\r\nhello\r\n0\r\n\r\n"),
        "chunk-0x": lambda n: framed(n, "Transfer-Encoding: chunked", body="0x5\r\nhello\r\n0\r\n\r\n"),
        "chunk-huge": lambda n: framed(n, "Transfer-Encoding: chunked", body="FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
        "chunk-space": lambda n: framed(n, "Transfer-Encoding: chunked", body="5 5\r\nhello\r\n0\r\n\r\n"),
        "chunk-no-crlf": lambda n: framed(n, "Transfer-Encoding: chunked", body="5\r\nhelloX0\r\n\r\n"),
        "chunk-too-long": lambda n: framed(n, "Transfer-Encoding: chunked", body="3\r\nhello\r\n0\r\n\r\n"),
        "chunk-empty-size": lambda n: framed(n, "Transfer-Encoding: chunked", body="\r\nhello\r\n0\r\n\r\n"),
        "trailer-CL": lambda n: framed(n, "Transfer-Encoding: chunked",
                                       body="5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"),
        "trailer-TE": lambda n: framed(n, "Transfer-Encoding: chunked",
                                       body="5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "preface-h2": lambda n: f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{hidden(n)}",
        "CONNECT": lambda n: f"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n{hidden(n)}",
    }


def talk(port, data, within=3.0, source=None):
    """Everything that comes back until the end of the connection, and whether it was ended by the other side.
    source: the address of this machine that it comes from."""
    with socket.create_connection(("127.0.0.1", port), timeout=within,
                                  source_address=(source, 0) if source else None) as connection:
        connection.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        parts = []
        try:
            while piece := connection.recv(65536):
                parts.append(piece)
            return b"".join(parts), True
        except ConnectionResetError:
            return b"".join(parts), True
        except TimeoutError:
            return b"".join(parts), False


def statuses(data):
    return [int(line.split(b" ")[1]) for line in data.split(b"\r\n") if line.startswith(b"HTTP/1.")]


NGINX = """worker_processes 1; daemon off; error_log /dev/null; pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
 uwsgi_temp_path {folder}; scgi_temp_path {folder};
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_http_version 1.1; proxy_set_header Connection "";
 proxy_set_header Host localhost; proxy_pass http://127.0.0.1:{back}; }} }} }}
"""
HAPROXY = """defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  http-request set-header Host localhost
  server one 127.0.0.1:{back}
"""


class Proxy:
    """A real one in front of the gateway; None where it is not installed."""

    def __init__(self, folder, name, back):
        self.name, self.port = name, free_port()
        file = Path(folder, f"{name}.conf")
        text = NGINX if name == "nginx" else HAPROXY
        file.write_text(text.format(folder=folder, port=self.port, back=back))
        words = ["nginx", "-c", str(file)] if name == "nginx" else ["haproxy", "-db", "-f", str(file)]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        eventually(lambda: is_bound(self.port), about=f"{name} listens")

    def end(self):
        self.process.terminate()
        self.process.wait()


@trial("G1", "request smuggling: every case refused and closed, no hidden request runs")
def smuggled(run):
    cases = smuggling()
    with stage(run, calm=False, sections={"http": {"guard": "strict"}}) as place:
        gateway, wrong, answered = place.gateway, [], Counter()
        for number, (name, make) in enumerate(cases.items()):
            data, ended = talk(gateway.port, make(number))
            seen = statuses(data)
            answered[seen[0] if seen else "closed"] += 1
            if not ended or any(status < 400 for status in seen):
                wrong.append(f"{name}: {seen} {'closed' if ended else 'open'}")
        through = []
        for name in ("nginx", "haproxy"):
            if shutil.which(name) is None:
                run.note(f"{name} is not installed")
                continue
            proxy = Proxy(run.folder, name, gateway.port)
            for number, make in enumerate(cases.values()):
                talk(proxy.port, make(1000 * (len(through) + 1) + number), within=0.7)
            through.append(name)
            proxy.end()
        ran = sorted(request for request in place.starts() if request.startswith("hidden-0"))
        run.at_most(f"of {len(cases)} cases not refused and closed {'; '.join(wrong[:4])}".strip(), len(wrong), 0)
        run.at_most(f"hidden requests that ran {ran[:3] if ran else ''}".strip(), len(ran), 0)
        run.note(f"straight: {dict(answered)}; the same also through {', '.join(through) or 'no proxy'}: what a proxy "
                 "splits by its own reading runs as two requests and is not counted")


@trial("G3", "a body's limit by length and by chunks; a million chunks of a byte")
def bodies(run):
    limit, rounds, chunks = MIB, (3 if run.short else 10), 200_000
    with stage(run, sections={"http": {"max_body": "1MiB"}}) as place:
        gateway, wrong = place.gateway, 0
        head = "POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        declared = talk(gateway.port, f"{head}Content-Length: {limit + 1}\r\n\r\n")[0]
        wrong += statuses(declared)[:1] != [413]
        exact = gateway.ask("POST", "/v1/pools/echo/invoke", b"x" * limit)
        wrong += exact.status != 200
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{limit + 1:x}\r\n".encode() + b"x" * (limit + 1) + b"\r\n0\r\n\r\n"
        wrong += statuses(talk(gateway.port, chunked)[0])[:1] != [413]
        many = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n"
        wrong += statuses(talk(gateway.port, many, within=30)[0])[:1] != [200]
        before = gateway.resident_kib()
        for _ in range(rounds):
            wrong += statuses(talk(gateway.port, many, within=30)[0])[:1] != [200]
        grown = gateway.resident_kib() - before
        place.asked = 4 + rounds
        run.at_most("wrong answers", wrong, 0)
        run.at_most(f"resident growth over {rounds} x {chunks} chunks", grown / 1024, 1, "MiB")


@trial("G4", "2,000 slow connections in the header and in the body beside a good client")
def slow_clients(run):
    count, timeout_s, rate = (400 if run.short else 2000), 3, "1KiB"
    sections = {"http": {"header_timeout": f"{timeout_s}s", "min_rate": rate}}
    with stage(run, sections=sections) as place:
        gateway = place.gateway
        alone = p99_ms(place.load(steady(C / 2, 5, name="alone")))
        ends, over = {}, threading.Event()

        def crawl():
            held = {}
            for number in range(count):
                connection = gateway.connect(timeout=5)
                body = number % 2
                head = b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\n"
                connection.sendall(head + (b"Content-Length: 1000000\r\n\r\n" if body else b""))
                connection.setblocking(False)
                held[connection] = (time.monotonic(), body)
            while held and not over.wait(0.25):
                for connection in list(held):
                    try:
                        connection.send(b"x")
                        if connection.recv(1024):
                            raise ConnectionResetError
                    except BlockingIOError:
                        continue
                    except OSError:
                        pass
                    began, body = held.pop(connection)
                    ends[connection] = (time.monotonic() - began, body)
                    connection.close()

        crawling = threading.Thread(target=crawl, daemon=True)
        crawling.start()
        good = place.load(steady(C / 2, 12, name="good"))
        eventually(lambda: not crawling.is_alive(), within=40, about="every slow client is cut", every=0.1)
        over.set()
        place.asked = sum(body for _, body in ends.values())
        headers = [seconds for seconds, body in ends.values() if not body]
        bodies_cut = [seconds for seconds, body in ends.values() if body]
        run.at_most("in the header cut after", max(headers), timeout_s + 1 + 1, "s")
        run.at_most("in the body cut after", max(bodies_cut), 12, "s")
        run.at_most("good requests not ok", sum(not entry.ok for entry in good), 0)
        run.at_most(f"good client's p99, {alone:.1f} ms alone", p99_ms(good), 2 * alone, "ms")


@trial("G5", "connections: as many as allowed for an address, and in all; the excess is answered")
def caps(run):
    for keys, limit in (({"max_connections": 50}, 50), ({"max_per_address": 30}, 30)):
        with stage(run, calm=False, sections={"http": keys}) as place:
            gateway, served, refused, hung = place.gateway, 0, 0, 0
            held = [gateway.connect(timeout=2) for _ in range(limit + 20)]
            slowest = 0.0
            for connection in held:
                began = time.monotonic()
                try:
                    connection.sendall(b"GET /v1/pools HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    status = statuses(connection.recv(65536))[:1]
                except TimeoutError:
                    status = None
                except OSError:
                    status = [503]
                slowest = max(slowest, time.monotonic() - began)
                served += status == [200]
                refused += status in ([503], [])
                hung += status is None
            for connection in held:
                connection.close()
            name = next(iter(keys))
            # The stage's own last look may still hold a place.
            run.at_most(f"{name}: {limit} allowed, {served} served: difference", abs(limit - served), 1)
            run.at_most(f"{name}: hung", hung, 0)
            run.at_most(f"{name}: the excess is told after", slowest, 1, "s")
