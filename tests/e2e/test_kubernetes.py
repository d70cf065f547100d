#!/usr/bin/env python3
"""kubernetes: the manifests keep the schema, their times fit the gateway's, their configuration can be served"""

import copy
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from gateway import Gateway, echo
from grpc_node import npm_install
from support import ROOT, build, check, equal, main, patient, skip, test

HERE = Path(__file__).resolve().parent / "kubernetes"
MANIFESTS = ROOT / "docker" / "kubernetes"
FOREIGN = ("kustomization.yaml", "servicemonitor.yaml")  # not of Kubernetes itself


def manifest(name):
    return yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text())


def pod():
    return manifest("deployment")["spec"]["template"]["spec"]


@functools.cache
def validator():
    """The folder with validate.js and the schemas, installed once into the build folder."""
    folder, wanted = build.folder / "kubernetes", (HERE / "package.json").read_text()
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            skip(f"there is no {tool}: install nodejs and npm to check the manifests against the schema")
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(wanted)
    shutil.copy(HERE / "validate.js", folder)
    if not (folder / "node_modules" / "kubernetes-models").is_dir():
        failure = npm_install(folder)
        if failure is not None:
            skip(f"npm cannot install the schemas: {failure}")
    return folder


def faults(*manifests):
    run = subprocess.run(["node", "validate.js"], cwd=validator(), input=json.dumps(manifests), capture_output=True,
                         text=True, check=False, timeout=patient(60))
    equal(run.returncode, 0, f"exit code ({run.stderr[-500:]})")
    return json.loads(run.stdout)


@test
def every_manifest_keeps_the_schema_of_kubernetes():
    paths = sorted(path for path in MANIFESTS.glob("*.yaml") if path.name not in FOREIGN)
    check(len(paths) >= 6, f"manifests: {paths}")
    documents = [yaml.safe_load(path.read_text()) for path in paths]
    told = {path.name: said for path, said in zip(paths, faults(*documents)) if said}
    equal(told, {}, "what the schema says against them")
    for document in documents:
        equal(set(document) - {"apiVersion", "kind", "metadata", "spec", "data"}, set(), f"members of {document['kind']}")


@test
def a_wrong_type_and_a_misspelt_member_would_be_told():
    good = manifest("deployment")
    wrong, misspelt = copy.deepcopy(good), copy.deepcopy(good)
    wrong["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "8080"
    misspelt["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystm"] = True
    said = faults(good, wrong, misspelt)
    equal(said[0], [], "the good one")
    check("containerPort" in said[1][0], f"a text for a number: {said[1]}")
    equal(said[2], ["Deployment.spec.template.spec.containers.0.securityContext.readOnlyRootFilesystm is not known"],
          "a misspelt member")


@test
def the_configuration_in_them_can_be_served():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "poolgate.yaml")
        path.write_text(manifest("configmap")["data"]["poolgate.yaml"])
        run = subprocess.run([build.program, "check", "--config", path], capture_output=True, text=True, check=False,
                             env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")}, timeout=patient(20))
    equal((run.returncode, run.stderr), (0, ""), "exit code and stderr")


@test
def a_pod_is_given_more_time_to_end_than_its_gateway_takes():
    drain = yaml.safe_load(manifest("configmap")["data"]["poolgate.yaml"])["drain"]
    timeout = int(re.fullmatch(r"(\d+)s", drain["timeout"]).group(1))
    [container] = pod()["containers"]
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + timeout + 5 + 1
    given = pod()["terminationGracePeriodSeconds"]
    check(given > needed, f"terminationGracePeriodSeconds: {given}, needed {needed}")


@test
def a_pod_keeps_the_restricted_standard():
    [container] = pod()["containers"]
    equal(pod()["securityContext"]["runAsNonRoot"], True, "runAsNonRoot")
    equal(pod()["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, "seccompProfile")
    equal(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                         "capabilities": {"drop": ["ALL"]}}, "securityContext")
    user = f"{pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}"
    check(f"USER {user}\n" in (ROOT / "docker" / "Dockerfile").read_text(), f"the image's user is {user}")


@test
def what_they_ask_for_is_there():
    [container] = pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    config = yaml.safe_load(manifest("configmap")["data"]["poolgate.yaml"])
    for name, port in ports.items():
        equal(config[name]["listen"], f"0.0.0.0:{port}", f"{name}.listen")
    equal({port["targetPort"] for port in manifest("service")["spec"]["ports"]}, set(ports), "ports of the service")
    [metric] = manifest("horizontalpodautoscaler")["spec"]["metrics"]
    with Gateway([echo()]) as gateway:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            equal(gateway.get(container[probe]["httpGet"]["path"]).status, 200, probe)
        equal(gateway.post("echo", b"x").status, 200, "status")
        text = gateway.get("/metrics").body.decode()
        check(f"\n{metric['pods']['metric']['name']}_count{{" in text, "the metric of the autoscaler")


main(__doc__)
