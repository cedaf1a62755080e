"""The kustomization and the chart: the same objects, whose names fit each other and the code."""

import os
import re
from pathlib import Path

import pytest
import yaml

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.config import load_settings
from tests.deploy.rendered import DEPLOY, NAME, helm, kustomize, objects, one, output, pod_of, same, tool

BUILT_IN_LEVELS = {"leader-election"}
OTHER_SCHEMAS = {"workload-leader-election": 200, "kube-scheduler": 800, "service-accounts": 9000}
"""https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#suggested-configuration-objects"""


@pytest.fixture(scope="module")
def base() -> list[dict]:
    return objects(kustomize("base"))


def test_kustomize_and_helm_make_the_same_objects(base: list[dict]) -> None:
    namespace = ("Namespace", "", NAME)  # made by `helm install --create-namespace`
    made, chart = same(base), same(objects(helm()))
    assert set(made) - {namespace} == set(chart)
    assert {key: made[key] for key in chart} == chart


def test_settings_are_the_bridges_and_dry(base: list[dict], tmp_path: Path) -> None:
    path = tmp_path / "bridge.yaml"
    path.write_text(one(base, "ConfigMap")["data"]["bridge.yaml"])
    assert load_settings(str(path)).dry_run


def test_metrics_are_served_where_prometheus_looks_and_only_there(base: list[dict]) -> None:
    settings = load_settings(str(DEPLOY / "base" / "bridge.yaml"))
    pod = pod_of(base)
    (bridge,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in bridge["ports"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", ports["metrics"])
    (rule,) = one(base, "NetworkPolicy")["spec"]["ingress"]
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    assert rule == {
        "from": [{"namespaceSelector": monitoring}],
        "ports": [{"protocol": "TCP", "port": "metrics"}],
    }


def test_probes_are_served_where_the_kubelet_looks(base: list[dict]) -> None:
    settings = load_settings(str(DEPLOY / "base" / "bridge.yaml"))
    (bridge,) = pod_of(base)["spec"]["containers"]
    (port,) = (port["containerPort"] for port in bridge["ports"] if port["name"] == "probes")
    probes = [bridge[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(probes) == {"probes"}
    assert (settings.probe_host, settings.probe_port) == ("0.0.0.0", port)


def test_every_selector_selects_the_pods(base: list[dict]) -> None:
    pod = pod_of(base)
    selectors = [
        one(base, "Deployment")["spec"]["selector"],
        one(base, "PodDisruptionBudget")["spec"]["selector"],
        one(base, "NetworkPolicy")["spec"]["podSelector"],
        *(spread["labelSelector"] for spread in pod["spec"]["topologySpreadConstraints"]),
    ]
    assert [selector["matchLabels"] for selector in selectors] == [pod["metadata"]["labels"]] * len(selectors)


def test_every_reference_has_its_object(base: list[dict]) -> None:
    names = {(item["kind"], item["metadata"]["name"]) for item in base}
    pod = pod_of(base)["spec"]
    wanted = {
        ("ServiceAccount", pod["serviceAccountName"]),
        ("ConfigMap", pod["volumes"][0]["configMap"]["name"]),
    }
    for item in base:
        if "roleRef" in item:
            wanted.add((item["roleRef"]["kind"], item["roleRef"]["name"]))
        if item["kind"] == "ValidatingAdmissionPolicyBinding":
            wanted.add(("ValidatingAdmissionPolicy", item["spec"]["policyName"]))
        if item["kind"] == "FlowSchema":
            wanted.add(("PriorityLevelConfiguration", item["spec"]["priorityLevelConfiguration"]["name"]))
    assert wanted - {("PriorityLevelConfiguration", level) for level in BUILT_IN_LEVELS} <= names


def test_every_subject_is_the_pods_account(base: list[dict]) -> None:
    subjects = [subject for item in base for subject in item.get("subjects", [])]
    rules = [rule for item in base if item["kind"] == "FlowSchema" for rule in item["spec"]["rules"]]
    subjects += [subject["serviceAccount"] for rule in rules for subject in rule["subjects"]]
    account = pod_of(base)["spec"]["serviceAccountName"]
    assert {(subject["namespace"], subject["name"]) for subject in subjects} == {(NAME, account)}
    users = re.findall(r"system:serviceaccount:[\w:-]+", yaml.safe_dump(base))
    assert set(users) == {f"system:serviceaccount:{NAME}:{account}"}
    assert len(users) == 4


def test_the_bridges_requests_meet_its_own_schemas_first(base: list[dict]) -> None:
    ours = {i["metadata"]["name"]: i["spec"]["matchingPrecedence"] for i in base if i["kind"] == "FlowSchema"}
    assert ours[f"{NAME}-leases"] < OTHER_SCHEMAS["workload-leader-election"]
    assert ours[f"{NAME}-leases"] < ours[NAME] < OTHER_SCHEMAS["service-accounts"]


def test_policies_know_the_names_that_the_code_knows() -> None:
    text = (DEPLOY / "base" / "admission.yaml").read_text(encoding="utf-8")
    known = {value for name, value in vars(keys).items() if name.isupper()}
    known |= {f"{keys.PREFIX}/{keys.API_VERSION}"}
    assert set(re.findall(r"'(synergai\.dev/[\w.-]+)'", text)) <= known
    assert set(re.findall(r"schedulerName == '([\w-]+)'", text)) == {keys.SCHEDULER_NAME}
    assert set(re.findall(r"startsWith\('([^']+)'\)", text)) == {f"{keys.PREFIX}/"}


def test_values_reach_their_objects(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    given = {
        "image": "reg/bridge@sha256:00",
        "imagePullSecrets": [{"name": "pull"}],
        "replicas": 3,
        "config": {"dry_run": False, "checkpoint": "demo", "events_queue": 2_000_000},
        "files": {"own.csv": "a,b\n1,2\n"},
        "namespaces": ["a", "b"],
        "resources": {"limits": {"memory": "2Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "priorityClassName": "",
        "monitoringNamespace": "prometheus",
        "apiServerPorts": [8443],
    }
    values.write_text(yaml.safe_dump(given))
    made = objects(helm("--values", str(values)))
    deployment, pod = one(made, "Deployment")["spec"], pod_of(made)["spec"]
    assert deployment["replicas"] == 3
    assert {c["image"] for c in pod["initContainers"] + pod["containers"]} == {given["image"]}
    assert pod["containers"][0]["resources"] == given["resources"]
    assert [pod[k] for k in ("imagePullSecrets", "nodeSelector", "tolerations")] == [
        given[k] for k in ("imagePullSecrets", "nodeSelector", "tolerations")
    ]
    assert "priorityClassName" not in pod
    (ingress,) = one(made, "NetworkPolicy")["spec"]["ingress"]
    labels = {"kubernetes.io/metadata.name": "prometheus"}
    assert ingress["from"] == [{"namespaceSelector": {"matchLabels": labels}}]
    assert one(made, "NetworkPolicy")["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": 8443}]}]
    bound = [
        i["metadata"]["namespace"]
        for i in made
        if i["kind"] == "RoleBinding" and i["metadata"]["name"].endswith("-binds")
    ]
    assert bound == ["a", "b"]
    path = tmp_path / "bridge.yaml"
    data = one(made, "ConfigMap")["data"]
    assert data["own.csv"] == given["files"]["own.csv"]
    path.write_text(data["bridge.yaml"])
    settings = load_settings(str(path))
    assert (settings.dry_run, settings.checkpoint, settings.events_queue) == (False, "demo", 2_000_000)
    assert settings.metrics_host == "0.0.0.0"


def test_the_chart_goes_into_another_namespace_whole() -> None:
    text = helm(namespace="elsewhere")
    assert f"namespace: {NAME}" not in text
    assert "queue_namespace: elsewhere" in text
    assert f"serviceaccount:{NAME}" not in text


def test_an_overlay_as_the_docs_have_it(tmp_path: Path) -> None:
    text = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    (overlay,) = re.findall(r"```yaml\n(resources:.*?)```", text, re.DOTALL)
    place = os.path.relpath(DEPLOY.parent, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("PATH", place))
    (tmp_path / "bridge.yaml").write_text("{dry_run: false, metrics_host: 0.0.0.0}")
    (tmp_path / "planning.yaml").write_text(re.findall(r"```yaml\n(apiVersion:.*?)```", text, re.DOTALL)[0])
    made = objects(output([tool("kubectl"), "kustomize", str(tmp_path)]))
    pod = pod_of(made)["spec"]
    assert {c["image"] for c in pod["initContainers"] + pod["containers"]} == {
        "REGISTRY/synergai-bridge:0.1.0"
    }
    settings = one(made, "ConfigMap")
    assert settings["data"]["bridge.yaml"].startswith("{dry_run: false")
    assert pod["volumes"][0]["configMap"]["name"] == settings["metadata"]["name"]
    binds = one([i for i in made if i["metadata"].get("namespace") == "planning"], "RoleBinding")
    shipped = one([i for i in made if i["metadata"].get("namespace") == "default"], "RoleBinding")
    assert [binds[key] for key in ("roleRef", "subjects")] == [
        shipped[key] for key in ("roleRef", "subjects")
    ]


def test_other_settings_are_another_config_map() -> None:
    """So that the pods are replaced."""
    names = {
        one(objects(helm(*options)), "ConfigMap")["metadata"]["name"]
        for options in ([], ["--set", "config.log_level=debug"], ["--set", "files.own=1"])
    }
    assert len(names) == 3
