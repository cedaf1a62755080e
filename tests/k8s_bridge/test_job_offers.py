"""Which runtime runs a job, and what a scheduler may choose from then."""

from dataclasses import replace
from typing import Any

import pytest
from bridge_fakes import profile, table
from bridge_jobs import job, runtime
from bridge_world import accepted

from synergai.k8s_bridge.inference.job import read_spec
from synergai.k8s_bridge.inference.offers import Lack, Offer, Offers
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, KIND, read_runtime
from synergai.k8s_bridge.inference.templates import Checked
from synergai.offline_profiles.table import base_address


def offers(*runtimes: dict[str, Any], check=accepted) -> Offers:
    made = Offers(table(), check)
    for raw in runtimes:
        raw = {**raw, "metadata": {**raw["metadata"], "uid": raw["metadata"]["name"], "generation": 1}}
        made.set(read_runtime(raw, raw["kind"]))
    return made


def asked(made: Offers, namespace: str = "default", **spec: Any) -> Offer | Lack:
    return made.offer(namespace, read_spec(job(model="net", **spec)["spec"]))


def ours(**given: Any) -> dict[str, Any]:
    return runtime(models=["net"], **{"hardware": ["gpu-a"], **given})


def test_a_job_may_run_where_a_runtime_runs_its_model():
    found = asked(offers(ours()))
    assert isinstance(found, Offer)
    assert found.hardware == {"gpu-a"}
    assert found.model == "net"
    assert set(found.ways) == {("gpu-a", "ort-b8")}


def test_jobs_that_want_the_same_share_one_offer():
    made = offers(ours())
    assert asked(made) is asked(made, samples=7)


def test_the_namespaces_own_runtime_wins_over_the_clusters():
    found = asked(offers(ours(priority=9), ours(name="own", namespace="default")))
    assert isinstance(found, Offer)
    assert found.ways["gpu-a", "ort-b8"].runtime.kind == KIND


def test_another_namespaces_runtime_is_none():
    found = asked(offers(ours(namespace="other")))
    assert isinstance(found, Lack)
    assert found.reason == "NoRuntime"


def test_the_higher_priority_wins():
    found = asked(offers(ours(name="low"), ours(name="high", priority=1)))
    assert isinstance(found, Offer)
    assert found.ways["gpu-a", "ort-b8"].runtime.name == "high"


def test_two_runtimes_of_equal_priority_are_ambiguous_and_neither_runs_it():
    made = offers(ours(name="one"), ours(name="two"))
    found = asked(made)
    assert isinstance(found, Lack)
    assert found.reason == "AmbiguousRuntime"
    assert "one" in found.message
    assert "two" in found.message
    assert all(made.rivals(known) for known in made.runtimes())


def test_a_job_may_name_the_one_runtime_that_it_wants():
    found = asked(
        offers(ours(name="one"), ours(name="two")), runtimeRef={"kind": CLUSTER_KIND, "name": "two"}
    )
    assert isinstance(found, Offer)
    assert found.ways["gpu-a", "ort-b8"].runtime.name == "two"


def test_a_runtime_that_is_named_and_not_there_is_told():
    found = asked(offers(ours()), runtimeRef={"kind": CLUSTER_KIND, "name": "gone"})
    assert isinstance(found, Lack)
    assert "ClusterInferenceRuntime gone" in found.message


def test_hardware_that_a_job_does_not_allow_is_not_offered():
    made = offers(ours(hardware=["gpu-a", "jetson"]))
    found = asked(made, placement={"hardware": ["jetson"]})
    assert isinstance(found, Offer)
    assert found.hardware == {"jetson"}


def test_a_configuration_that_nobody_measured_is_not_offered():
    made = offers(ours(configurations=[{"name": "never-measured"}]))
    found = asked(made)
    assert isinstance(found, Lack)
    assert found.reason == "NoProfile"
    assert made.unprofiled(next(iter(made.runtimes()))) == ["net as never-measured on gpu-a"]


def test_a_template_that_the_api_server_refuses_is_the_jobs_reason():
    found = asked(offers(ours(), check=lambda *_: Checked("no such thing as spec.foo")))
    assert isinstance(found, Lack)
    assert found.reason == "TemplateRefused"
    assert "no such thing as spec.foo" in found.message


def test_a_job_waits_until_the_api_server_was_asked():
    found = asked(offers(ours(), check=lambda *_: None))
    assert isinstance(found, Lack)
    assert found.reason == "CheckingTemplate"


def test_pods_that_take_more_than_their_profile_are_a_model_of_their_own():
    made = offers(ours(configurations=[{"name": "ort-b8", "resources": {"cpu": "3", "memory": "5Gi"}}]))
    found = asked(made)
    assert isinstance(found, Offer)
    assert found.model != "net"
    assert base_address(found.model) == "net"
    (row,) = made.table().of(found.model, "gpu-a")
    assert (row.cpu_milli, row.memory_mib) == (3000, 5120)
    assert row.throughput_sps == profile("net", "gpu-a").throughput_sps


def test_a_model_of_its_own_has_the_same_reference_for_deadlines():
    made = offers(ours(configurations=[{"name": "ort-b8", "resources": {"cpu": "3"}}]))
    found = asked(made)
    assert isinstance(found, Offer)
    assert made.table().reference_s(found.model, 100) == pytest.approx(
        table().reference_s("net", 100), rel=0.5
    )


def test_what_no_job_needs_any_more_leaves_the_table():
    made = offers(ours(configurations=[{"name": "ort-b8", "resources": {"cpu": "3"}}]))
    asked(made)
    assert made.own_models
    made.keep([])
    assert made.table() is made.base


def test_other_profiles_make_other_offers():
    made = offers(ours())
    before = asked(made)
    made.rebase(table())
    assert asked(made) is not before


def test_two_runtimes_on_one_hardware_are_two_kinds_of_pods_for_it():
    tainted = {
        "spec": {
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "containers": [{"name": "r", "image": "a"}],
        }
    }
    other = {"spec": {"containers": [{"name": "r", "image": "b"}]}}
    known = table()
    made = Offers(known.beside([replace(profile("net", "gpu-a"), configuration="ort-b9")]), accepted)
    for name, configuration, template in (("one", "ort-b8", tainted), ("two", "ort-b9", other)):
        raw = ours(name=name, configurations=[{"name": configuration}], template=template)
        raw["metadata"] |= {"uid": name, "generation": 1}
        made.set(read_runtime(raw, raw["kind"]))
    found = asked(made)
    assert isinstance(found, Offer)
    assert found.hardware == {"gpu-a"}
    assert len({choice.wish.demand.tolerations for choice in found.choices}) == 2
