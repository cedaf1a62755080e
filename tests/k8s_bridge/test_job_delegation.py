"""The pod of an attempt that kube-scheduler is to bind, and who watches it."""

from typing import Any

import pytest
from bridge_jobs import runtime, stored

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.watch import ATTEMPTS, NOMINATED, OTHER_PODS, OWN_PODS
from synergai.k8s_bridge.config import ConfigError, load_settings
from synergai.k8s_bridge.embedded.selectors import parse_labels
from synergai.k8s_bridge.inference.delegation import delegate
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, read_runtime
from synergai.k8s_bridge.inference.templates import refusal

KUBE = "default-scheduler"
NODES = "requiredDuringSchedulingIgnoredDuringExecution"
SECOND = 1_000_000


def pod_on(node: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"schedulerName": "synergai", "nodeName": node, **spec}}


def terms_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return pod["spec"]["affinity"]["nodeAffinity"][NODES]["nodeSelectorTerms"]


HERE = {"key": "metadata.name", "operator": "In", "values": ["n0"]}
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
ELSEWHERE = {"key": "metadata.name", "operator": "NotIn", "values": ["n9"]}


def affinity(*terms: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"nodeAffinity": {NODES: {"nodeSelectorTerms": list(terms)}}, **more}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, [{"matchFields": [HERE]}]),
        (
            {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            [{"matchFields": [HERE]}],
        ),
        (affinity({"matchExpressions": [ZONE]}), [{"matchExpressions": [ZONE], "matchFields": [HERE]}]),
        (
            affinity({"matchExpressions": [ZONE]}, {"matchFields": [ELSEWHERE]}),
            [{"matchExpressions": [ZONE], "matchFields": [HERE]}, {"matchFields": [ELSEWHERE, HERE]}],
        ),
        (
            affinity({}, {"matchExpressions": [ZONE]}),
            [{}, {"matchExpressions": [ZONE], "matchFields": [HERE]}],
        ),
    ],
)
def test_the_node_is_asked_for_in_each_term_beside_what_is_there(given, wanted):
    made = delegate(pod_on("n0", **({"affinity": given} if given else {})), KUBE)
    assert terms_of(made) == wanted
    assert (made["spec"]["schedulerName"], "nodeName" in made["spec"]) == (KUBE, False)


def test_other_affinity_stays():
    apart = {"podAntiAffinity": {NODES: [{"topologyKey": "zone"}]}}
    assert (
        delegate(pod_on("n0", affinity=affinity(**apart)), KUBE)["spec"]["affinity"].items() >= apart.items()
    )


def test_a_template_is_tried_without_a_node():
    pod = pod_on("")
    del pod["spec"]["nodeName"]
    assert delegate(pod, KUBE)["spec"] == {"schedulerName": KUBE}


REFUSED_ELSE = {
    "a volume tied to nodes": {"volumes": [{"name": "v", "csi": {}}]},
    "a device's claim": {"resourceClaims": [{"name": "gpu"}]},
    "spread": {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "a"}},
            }
        ]
    },
    "a host port": {
        "containers": [{"name": "runner", "image": "i", "ports": [{"containerPort": 1, "hostPort": 1}]}]
    },
}


@pytest.mark.parametrize("spec", REFUSED_ELSE.values(), ids=REFUSED_ELSE)
def test_what_kube_scheduler_checks_may_be_in_a_template_that_it_binds(spec):
    template = {"spec": {"containers": [{"name": "runner", "image": "i"}], **spec}}
    raw = stored(runtime(template=template))
    (variant,) = read_runtime(raw, CLUSTER_KIND).variants
    assert refusal(variant)
    assert not refusal(variant, delegated=True)


def test_a_gang_may_not():
    template = {
        "spec": {"containers": [{"name": "runner", "image": "i"}], "schedulingGroup": {"podGroupName": "g"}}
    }
    (variant,) = read_runtime(stored(runtime(template=template)), CLUSTER_KIND).variants
    assert refusal(variant, delegated=True)


def test_the_schedulers_name_is_not_ours():
    assert load_settings(binder="kube-scheduler").delegate_to == KUBE
    assert load_settings(kube_scheduler_name="theirs").delegate_to == ""
    with pytest.raises(ConfigError, match="own name"):
        load_settings(kube_scheduler_name="synergai")


@pytest.mark.parametrize("labels", [{}, {keys.LABEL_JOB: "u"}])
def test_each_pod_of_another_scheduler_is_in_one_watch(labels):
    def selects(selector: str) -> bool:
        return all(one.holds(labels) for one in parse_labels(selector))

    assert OTHER_PODS.label_selector == NOMINATED.label_selector
    assert selects(OTHER_PODS.label_selector) != selects(ATTEMPTS.label_selector)
    assert OWN_PODS.params() == {"fieldSelector": "spec.schedulerName=synergai"}
