"""elsewhere - tests of the battery that hang on no load: they are end-to-end tests, run here for the table."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import build
from trial import trial

E2E = Path(__file__).resolve().parents[1] / "e2e"
# ID: what it is, its file, words of its tests. No word: all of them.
TESTS = {
    "G2": ("header lines, target, method: exact at the limit", "payloads", "header_lines", "the_largest_header",
           "a_target_and_a_method"),
    "G6": ("a hundred pipelined requests, HEAD, OPTIONS, 405 and Allow, 501", "payloads", "pipelined",
           "a_method_is_served"),
    "G7": ("a path has one spelling", "payloads", "a_path_has_one_spelling"),
    "H1": ("texts, times and deadlines of every shape at both doors", "payloads", "refuse_the_same_texts",
           "a_timeout_is", "a_deadline_that"),
    "H2": ("four megabytes of empty messages and values", "payloads", "four_megabytes"),
    "J3": ("metadata over the limit, or not base64", "payloads", "metadata"),
    "K1": ("certificates of clients: expired, of another authority, of another name, none", "tls",
           "only_a_client_with", "curl_is_served", "grpc_js"),
    "K2": ("old versions, weak suites, renegotiation", "tls", "old_versions", "renegotiate", "protocols_that"),
    "K3": ("a certificate is replaced under load, then by a broken file", "tls", "a_new_certificate",
           "a_broken_file"),
    "K4": ("plain text to TLS and the reverse, half a hello, silence", "tls", "plain", "silence", "reset_in_the"),
    "D10": ("what a worker inherits", "process", "a_worker_starts_with"),
}
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def run_file(file, words):
    ended = subprocess.run([sys.executable, E2E / f"test_{file}.py", build.folder, *words], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False, env=os.environ)
    passed, failed, skipped = (int(count or 0) for count in COUNTS.findall(ended.stdout)[-1])
    if failed:
        print(ended.stdout, file=sys.stderr)
    return passed, failed, skipped


def register(name, title, file, words):
    @trial(name, title)
    def elsewhere(run):
        passed, failed, skipped = run_file(file, words)
        run.at_most("failed", failed, 0)
        run.at_least("passed", passed, max(1, len(words)) - skipped)
        run.note(f"tests/e2e/test_{file}.py, also in make test" + (f"; {skipped} skipped" if skipped else ""))


for identity, (what, where, *which) in TESTS.items():
    register(identity, what, where, which)


@trial("H3", "protobuf by a fuzzer: what it has found worth keeping, again")
def fuzzed(run):
    program = build.folder / "tests" / "test_fuzz_grpc_message"
    ended = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    passed, failed, _ = (int(count or 0) for count in COUNTS.findall(ended.stdout)[-1])
    run.at_most("failed", failed + int(ended.returncode != 0), 0)
    run.at_least("passed", passed, 1)
    run.note("make fuzz goes on from there")
