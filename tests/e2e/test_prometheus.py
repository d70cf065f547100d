#!/usr/bin/env python3
"""prometheus: Debian's own reads the page, the alerts are tried one by one, the dashboard asks for what is there"""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from gateway import Gateway, echo
from metrics import Metrics
from support import ROOT, check, equal, eventually, main, patient, skip, test

ALERTS = ROOT / "docker" / "prometheus" / "alerts.yaml"
CONFIG = ROOT / "docker" / "prometheus" / "prometheus.yaml"
DASHBOARD = ROOT / "docker" / "grafana" / "poolgate.json"
NAME = re.compile(r"\bpoolgate_[a-z_]+\b")
# Families that a gateway has only under a condition, which this one does not meet.
CONDITIONAL = {
    "poolgate_tls_certificate_expiry_seconds", "poolgate_tls_reload_failures_total",  # a port with TLS
    "poolgate_memory_limit_bytes",                                                    # a limit that is known
}


def program(name):
    found = shutil.which(name)
    if found is None:
        skip(f"there is no {name}: scripts/deps prometheus installs it")
    return found


def promtool(*arguments, text=""):
    run = subprocess.run([program("promtool"), *map(str, arguments)], input=text, capture_output=True, text=True,
                         timeout=60, check=False)
    equal((run.returncode, run.stderr), (0, ""), f"promtool {' '.join(map(str, arguments))}: {run.stdout}")
    return run.stdout


def families(gateway):
    return set(Metrics(gateway.get("/metrics").body.decode()).families)


def metric_names(text, known):
    """The families that an expression asks for: of a histogram its parts as well."""
    names = set(NAME.findall(text))
    parts = {f"{family}{end}": family for family in known for end in ("_bucket", "_sum", "_count")}
    return {parts.get(name, name) for name in names}


@test
def the_page_is_what_promtool_wants():
    with Gateway([echo()]) as gateway:
        gateway.post("echo", b"x")
        gateway.post("echo", b"x", priority="none")
        promtool("check", "metrics", text=gateway.get("/metrics").body.decode())


@test
def rules_and_configuration_are_sound():
    check("13 rules found" in promtool("check", "rules", ALERTS), "all rules are read")
    promtool("check", "config", CONFIG)


@test
def each_alert_is_due_when_it_should_be_and_quiet_when_not():
    promtool("test", "rules", ROOT / "tests" / "prometheus" / "alerts.yaml")
    tried = (ROOT / "tests" / "prometheus" / "alerts.yaml").read_text()
    for alert in re.findall(r"alert: (\w+)", ALERTS.read_text()):
        check(re.search(rf"alertname: {alert}\n", tried), f"{alert} is tried")


@test
def each_alert_has_its_line_for_whoever_is_woken():
    text = (ROOT / "docs" / "operations.md").read_text()
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text())
    documented = re.findall(r"^\| `(Poolgate\w+)` \|", text, re.M)
    equal(sorted(documented), sorted(alerts), "alerts of docs/operations.md and of alerts.yaml")


@test
def alerts_and_dashboard_ask_only_for_what_the_gateway_has():
    with Gateway([echo()]) as gateway:
        gateway.post("echo", b"x", priority="none")
        known = families(gateway) | CONDITIONAL
    expressions = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"]
                   for target in panel.get("targets", [])]
    check(len(expressions) > 30, "the dashboard asks for something")
    asked = metric_names(" ".join(expressions), known) | metric_names(ALERTS.read_text(), known)
    equal(sorted(asked - known), [], "metrics that nobody exports")
    documented = set(re.findall(r"[a-z_]+", (ROOT / "docs" / "operations.md").read_text()))
    missing = [name for name in known - CONDITIONAL if name.removeprefix("poolgate_") not in documented]
    equal(missing, [], "metrics that docs/operations.md does not explain")


@test
def the_contracts_metrics_are_all_there():
    text = (ROOT / "docs" / "contract.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    with Gateway([echo()]) as gateway:
        missing = set(NAME.findall(text)) - families(gateway) - {"poolgate_jobs"} - CONDITIONAL
    equal(sorted(missing), [], "metrics of the contract that are not exported")


@contextmanager
def prometheus(target):
    """A real one on loopback, with the rules that are shipped, that reads the target twice a second."""
    with tempfile.TemporaryDirectory(prefix="poolgate-prometheus-") as folder, socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % port.getsockname()[1]
        port.close()
        config = Path(folder, "prometheus.yaml")
        config.write_text(f"""
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [{ALERTS}]
scrape_configs: [{{job_name: poolgate, static_configs: [{{targets: ["{target}"]}}]}}]
""")
        with open(Path(folder, "log"), "wb") as log:
            process = subprocess.Popen(
                [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            eventually(lambda: answers(f"http://{address}/-/ready"), within=20, about="Prometheus is ready")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=patient(20))


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.read() or b"ok"
    except OSError:
        return None


def query(address, expression):
    """The values of the series that it finds."""
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    answer = json.loads(answers(url) or b'{"status":"none"}')
    equal(answer["status"], "success", f"{expression}: {answer}")
    return [float(found["value"][1]) for found in answer["data"]["result"]]


@test
def prometheus_reads_a_gateway_and_answers():
    program("prometheus")
    with Gateway([echo(slots=2)]) as gateway, prometheus(f"127.0.0.1:{gateway.port}") as address:
        for _ in range(7):
            gateway.post("echo", b"x")
        gateway.post("echo", b"x", priority="none")
        eventually(lambda: query(address, 'up{job="poolgate"}') == [1.0], within=10, about="it reads the gateway")
        eventually(lambda: query(address, 'sum(poolgate_requests_total{pool="echo",code="ok"})') == [7.0], within=10,
                   about="seven requests")
        equal(query(address, 'poolgate_rejected_seconds_count{pool="echo"}'), [1.0], "one refusal")
        equal(query(address, 'sum(poolgate_slots{state=~"ready|idle"})'), [2.0], "slots")
        equal(query(address, 'ALERTS{alertstate="firing"}'), [], "alerts of a healthy gateway")
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*").replace("$pool", ".*")
                query(address, expression)  # is one that Prometheus understands
        gateway.signal(9)
        gateway.join()
        gateway.expect_exit = None
        eventually(lambda: query(address, 'ALERTS{alertname="PoolgateDown"}') == [1.0], within=10,
                   about="an alert is pending once it does not answer")


main(__doc__)
