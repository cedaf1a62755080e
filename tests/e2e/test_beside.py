"""The figure beside kube-scheduler, on an API server without controllers; nothing here looks at how fast."""

import json
import os
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from synergai.benchmarks.beside import SCHEDULERS
from synergai.benchmarks.real import KUBE_SCHEDULER
from synergai.benchmarks.requested import CONTROLLERS
from synergai.cli import app
from tests.e2e.cluster.control_plane import control_plane
from tests.e2e.cluster.source import Unavailable, programs

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bare(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[None]:
    """An API server that nobody else uses, and kube-scheduler."""
    try:
        folder = programs()
        scheduler, controllers = folder / "kube-scheduler", folder / "kube-controller-manager"
        for program in (scheduler, controllers):
            if not os.access(program, os.X_OK):
                raise Unavailable(f"no {program}; build.sh {program.name} makes it")
    except Unavailable as reason:
        if os.environ.get("SYNERGAI_E2E") == "require":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with control_plane(folder, bare=True) as kubeconfig:
        monkeypatch_module.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch_module.setenv(KUBE_SCHEDULER, str(scheduler))
        monkeypatch_module.setenv(CONTROLLERS, str(controllers))
        yield


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("arrive", ["0", "40"])
def test_each_scheduler_binds_all_pods_and_is_told_of_with_what_it_took(bare: None, arrive: str) -> None:
    result = CliRunner().invoke(
        app, ["bench", "beside_kube_scheduler", "--pods", "12", "--nodes", "6", "--arrive", arrive]
    )
    assert result.exit_code == 0, result.output
    figure = json.loads(result.stdout)
    assert (figure["pods"], figure["nodes"]) == (12, 6)
    for scheduler in SCHEDULERS:
        seen = figure[scheduler]
        assert seen["pods_per_s"] > 0.0
        assert 0.0 <= seen["p50_s"] <= seen["p99_s"]
    assert figure["value"] == pytest.approx(
        figure["synergai"]["pods_per_s"] / figure["kube-scheduler"]["pods_per_s"],
        abs=1e-3,  # as it is rounded
    )


def test_each_side_runs_all_jobs_and_is_told_of_with_what_it_took(bare: None) -> None:
    result = CliRunner().invoke(app, ["bench", "jobs_beside_kubernetes", "--jobs", "12", "--nodes", "6"])
    assert result.exit_code == 0, result.output
    figure = json.loads(result.stdout)
    assert (figure["jobs"], figure["nodes"]) == (12, 6)
    for side in ("batch", "synergai"):
        assert figure[side]["jobs_per_s"] > 0.0
        assert 0.0 <= figure[side]["p50_s"] <= figure[side]["p99_s"]
