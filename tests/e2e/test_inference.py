#!/usr/bin/env python3
"""inference: text becomes vectors and scanned pages become text, over REST"""

import json
import math

from accuracy import accuracy
from gateway import Gateway
from support import ROOT, between, build, check, equal, main, patient, skip, test

PAGES = ROOT.parent / "shared" / "data" / "ocr"
TYPES = {".png": "image/png", ".tif": "image/tiff", ".jpg": "image/jpeg"}


def embed_pool(**args):
    return {"name": "embed", "capability": "text-embedding",
            "worker": {"plugin": "embed", "args": {k: str(v) for k, v in args.items()}}, "slots": {"min": 1, "max": 1}}


def ocr_pool(slots=1, **args):
    return {"name": "ocr", "capability": "vision",
            "worker": {"plugin": "ocr", "args": {"language": "eng", **{k: str(v) for k, v in args.items()}}},
            "slots": {"min": slots, "max": slots}, "timeouts": {"load": "120s", "request": "300s"}}


def embed(gateway, value):
    reply = gateway.post("embed", json.dumps({"input": value}).encode(), headers={"Content-Type": "application/json"})
    equal(reply.status, 200, f"status of {reply!r}")
    return reply.json()


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


@test
def a_sentence_becomes_a_vector_of_unit_length():
    with Gateway([embed_pool()]) as gateway:
        answer = embed(gateway, "The quick brown fox jumps over the lazy dog.")
        equal(answer["object"], "list", "object")
        check(isinstance(answer["model"], str) and answer["model"], "model")
        check(isinstance(answer["usage"], dict), "usage")
        item = answer["data"][0]
        equal((item["object"], item["index"], len(item["embedding"])), ("embedding", 0, 384), "the item")
        between(0.9999, math.sqrt(dot(item["embedding"], item["embedding"])), 1.0001, "length of the vector")


@test
def a_batch_gives_the_same_vectors_as_one_by_one_in_order():
    texts = ["red apples", "a pool of workers", "Grüße aus Köln", "words " * 500, "x"]
    with Gateway([embed_pool()]) as gateway:
        batch = embed(gateway, texts)["data"]
        equal([item["index"] for item in batch], list(range(len(texts))), "indices")
        for text, item in zip(texts, batch):
            equal(item["embedding"], embed(gateway, text)["data"][0]["embedding"], f"vector of {text[:20]!r}")


@test
def similar_sentences_are_nearer_than_different_ones():
    with Gateway([embed_pool()]) as gateway:
        a, b, c = (item["embedding"] for item in embed(gateway, [
            "The workers of the pool wait for requests.", "A worker in the pool waits for a request.",
            "Bananas ripen in the warm kitchen."])["data"])
        check(dot(a, b) > dot(a, c) + 0.2, f"near {dot(a, b):.3f}, far {dot(a, c):.3f}")


@test
def plain_text_is_embedded_as_well_and_odd_input_is_refused():
    with Gateway([embed_pool()]) as gateway:
        plain = gateway.post("embed", b"red apples", headers={"Content-Type": "text/plain"})
        equal(plain.json()["data"][0]["embedding"], embed(gateway, "red apples")["data"][0]["embedding"], "plain text")
        for bad in (b"", b"{", b"[]", b'{"input": 7}', b'{"input": [1, 2]}', b'{"other": "x"}', b"\xff\xfe"):
            reply = gateway.post("embed", bad, headers={"Content-Type": "application/json"})
            equal((reply.status, reply.code), (400, "invalid_request"), f"answer to {bad!r}")
            equal(reply.json()["source"], "worker", "who refused it")
        equal(embed(gateway, "still fine")["data"][0]["index"], 0, "afterwards")


def read_page(gateway, path, operation=None):
    reply = gateway.post("ocr", path.read_bytes(), operation, headers={"Content-Type": TYPES[path.suffix]}, timeout=300)
    equal(reply.status, 200, f"status of {path.name}: {reply!r}")
    return reply


@test
def our_page_is_read_with_98_percent_of_its_characters():
    page = ROOT / "demo" / "page.png"
    with Gateway([ocr_pool()]) as gateway:
        reply = read_page(gateway, page)
        equal(reply.headers["Content-Type"], "text/plain; charset=utf-8", "content type")
        share = accuracy(page.with_suffix(".txt").read_text(), reply.body.decode())
        print(f"       demo/page.png: {share:.2%} of the characters in {reply.timing['run']:.0f} ms")
        check(share >= 0.98, f"accuracy {share:.2%}:\n{reply.body.decode()}")


@test
def pages_of_other_hands_are_read():
    known = [("phototest.tif", "phototest.gold.txt", 0.98), ("eurotext.tif", "eurotext.txt", 0.80)]
    if not PAGES.is_dir():
        skip(f"there are no pages in {PAGES.relative_to(ROOT.parent)} beside the checkout")
    with Gateway([ocr_pool()]) as gateway:
        for image, text, wanted in known:
            share = accuracy((PAGES / text).read_text(), read_page(gateway, PAGES / image).body.decode())
            print(f"       {image}: {share:.2%} of the characters")
            check(share >= wanted, f"{image}: accuracy {share:.2%}, wanted {wanted:.0%}")


@test
def the_page_comes_as_hocr_and_tsv_where_asked_for():
    with Gateway([ocr_pool()]) as gateway:
        page = ROOT / "demo" / "page.png"
        hocr = read_page(gateway, page, "hocr")
        check("html" in hocr.headers["Content-Type"] and b"ocr_page" in hocr.body, f"hocr: {hocr!r}")
        tsv = read_page(gateway, page, "tsv")
        rows = [line.split("\t") for line in tsv.body.decode().splitlines() if line]
        check(len(rows) > 50 and all(len(row) == 12 for row in rows), f"tsv: {len(rows)} rows, first {rows[0]}")


@test
def what_is_no_picture_is_refused_and_the_worker_lives_on():
    with Gateway([ocr_pool()]) as gateway:
        page = (ROOT / "demo" / "page.png").read_bytes()
        for bad in (b"", b"no picture", page[:100], b"\x89PNG\r\n\x1a\n" + b"\0" * 200):
            reply = gateway.post("ocr", bad, headers={"Content-Type": "image/png"})
            check(reply.status in (400, 415), f"answer to {bad[:20]!r}: {reply!r}")
            equal(reply.json()["source"], "worker", "who refused it")
        equal(gateway.slot("ocr")["restarts"], 0, "restarts")
        equal(read_page(gateway, ROOT / "demo" / "page.png").status, 200, "the page afterwards")


@test
def a_warm_slot_reads_the_second_page_without_loading_again():
    if build.sanitized:
        skip("times under a sanitizer say nothing")
    pool = {**ocr_pool(), "slots": {"min": 0, "max": 1}}
    with Gateway([pool]) as gateway:
        cold, warm = (read_page(gateway, ROOT / "demo" / "page.png") for _ in range(2))
        check(cold.timing["cold"] > 0 and warm.timing["cold"] == 0, f"cold {cold.timing}, warm {warm.timing}")
        check(warm.timing["run"] < patient(5000), f"run time of a warm page: {warm.timing}")


main(__doc__)
