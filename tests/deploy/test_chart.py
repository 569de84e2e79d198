"""The chart in ``deploy/helm``, rendered by Helm: it fits Kubernetes and the restricted Pod Security Standard."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from authserver.config import load
from tests.support.clients_js_plugin import need
from tests.support.processes import ROOT
from tests.support.shell import MASTER_KEY

CHART = ROOT / "deploy" / "helm" / "authserver"
VALUES = {
    "issuer": "https://auth.example.com",
    "image": {"repository": "registry.example.com/authserver", "tag": "0.1.0"},
    "existingSecret": "authserver",
    "trustedProxies": "10.0.0.0/8",
}
EVERYTHING = {
    **VALUES,
    "image": {"repository": "registry.example.com/authserver", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "migration": {"job": False},
    "settings": {"AUTHSERVER_DATABASE_POOLER": "transaction", "AUTHSERVER_PUBLISH_SCOPES": 1},
    "metricsPeers": "10.0.0.0/8",
    "serviceMonitor": {"enabled": True, "interval": "15s"},
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "databaseTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "databasePort": 6432,
    },
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "auth", "operator": "Exists"}],
}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""Kinds the restricted standard allows."""


@pytest.fixture(scope="module")
def helm():
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent), str(Path.home() / "go/bin")))
    found = shutil.which("helm", path=path)
    need("The chart was", "" if found else "it was neither linted nor rendered; install helm")
    return found


def run(helm, tmp_path, values, *words):
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values), encoding="ascii")
    return subprocess.run(
        [helm, *words, "--values", str(file), "--kube-version", "1.33.0"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def rendered(helm, tmp_path, values):
    result = run(helm, tmp_path, values, "template", "auth", str(CHART))
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.safe_load_all(result.stdout) if each]


def pods(documents):
    return [each["spec"]["template"]["spec"] for each in documents if each["kind"] in {"Deployment", "Job"}]


@pytest.mark.parametrize("values", [VALUES, EVERYTHING], ids=["least", "everything"])
def test_it_passes_the_linter_and_the_schemas_of_kubernetes(helm, tmp_path, values):
    linted = run(helm, tmp_path, values, "lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    documents = rendered(helm, tmp_path, values)
    kinds = {each["kind"] for each in documents}
    assert kinds >= {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"}
    assert ("Job" in kinds) is (values is VALUES)
    assert ("ServiceMonitor" in kinds) is (values is EVERYTHING)
    for each in documents:
        if each["kind"] != "ServiceMonitor":  # of the Prometheus operator, not of Kubernetes
            kubernetes_validate.validate(each, "1.37", strict=True)


@pytest.mark.parametrize("values", [VALUES, EVERYTHING], ids=["least", "everything"])
def test_every_pod_fits_the_restricted_pod_security_standard(helm, tmp_path, values):
    found = pods(rendered(helm, tmp_path, values))
    assert found
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["automountServiceAccountToken"] is False
        assert all(set(volume) - {"name"} <= VOLUMES for volume in pod["volumes"])
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            own = container["securityContext"]
            assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert all("hostPort" not in port for port in container.get("ports", ()))


@pytest.mark.parametrize("values", [VALUES, EVERYTHING], ids=["least", "everything"])
def test_the_server_takes_the_environment_it_is_given(helm, tmp_path, values):
    """The settings are read by the program's own code, with the image's bind address and files for the secrets."""
    for pod in pods(rendered(helm, tmp_path, values)):
        (container,) = pod["containers"]
        environ = {each["name"]: each["value"] for each in container["env"]}
        assert len(environ) == len(container["env"]), "a name is given twice"
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        for name, text in (("database-url", "postgresql://user@db/auth"), ("master-key", MASTER_KEY)):
            (tmp_path / name).write_text(text, encoding="ascii")
        inside = {
            name: value.replace(mounts["secrets"], str(tmp_path)) if name.endswith("_FILE") else value
            for name, value in environ.items()
        }
        config = load({"AUTHSERVER_BIND": "0.0.0.0:8000", **inside})
        assert config.issuer == values["issuer"]
        assert config.migrate is (values is EVERYTHING or "MIGRATE" not in str(environ))
        assert mounts["state"] == config.state_directory
        assert set(mounts) == {volume["name"] for volume in pod["volumes"]}


def test_services_policies_and_budgets_select_the_servers_and_not_the_job(helm, tmp_path):
    documents = {each["kind"]: each for each in rendered(helm, tmp_path, VALUES)}
    server = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    job = documents["Job"]["spec"]["template"]["metadata"]["labels"]

    def selects(labels, wanted):
        return wanted.items() <= labels.items()

    for wanted in (
        documents["Service"]["spec"]["selector"],
        documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        documents["Deployment"]["spec"]["selector"]["matchLabels"],
        *(
            each["labelSelector"]["matchLabels"]
            for each in documents["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ),
    ):
        assert (selects(server, wanted), selects(job, wanted)) == (True, False)
    policy = documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert (selects(server, policy), selects(job, policy)) == (True, True)
    assert documents["Deployment"]["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"issuer": ""}, "issuer"),
        ({"issuer": "http://auth.example.com"}, "issuer"),
        ({"issuer": "https://auth.example.com/"}, "issuer"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"image": {"repository": "", "tag": "1"}}, "repository"),
        ({"image": {"repository": "r"}}, "image"),
        ({"image": {"repository": "r", "digest": "sha256:short"}}, "digest"),
        ({"replicas": 0}, "replicas"),
        ({"replica": 3}, "replica"),
        ({"trustedProxies": ""}, "trustedProxies"),
        ({"settings": {"AUTHSERVER_MASTER_KEY": "x"}}, "AUTHSERVER_MASTER_KEY"),
        ({"settings": {"PATH": "/"}}, "PATH"),
        ({"migration": {"job": "yes"}}, "migration"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm, tmp_path, change, named):
    result = run(helm, tmp_path, {**VALUES, **change}, "template", "auth", str(CHART))
    assert result.returncode != 0
    assert named in result.stderr
    assert result.stdout == ""
