"""Whatever is wrong before the first decision ends in one line on stderr and exit code 2."""

import json
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

from synergai.k8s_bridge.cli import bridge
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from tests.served import serving

APP = typer.Typer()
APP.command()(bridge)


def run(*args: str) -> Result:
    return CliRunner().invoke(APP, [*args, "--metrics-port", "0"])


def assert_one_line(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if " INFO " not in line]
    for name in ("synergai bridge: ", *named):
        assert name in line


@pytest.fixture
def guarded(tmp_path) -> Iterator[str]:
    """A kubeconfig whose user may read nodes, and nothing else."""
    reader = User("reader", (Rule(frozenset({"list", "get"}), frozenset({"nodes"})),))
    with serving(Server(Settings(access=Access({"secret": reader})))) as url:
        path = tmp_path / "config"
        kubeconfig.write(path, url, "secret")
        yield str(path)


def test_no_permission(guarded):
    assert_one_line(run("--kubeconfig", guarded), "no permission", 'cannot list resource "pods"')


def test_no_cluster(tmp_path):
    path = tmp_path / "config"
    kubeconfig.write(path, "http://127.0.0.1:9")
    assert_one_line(run("--kubeconfig", str(path)), "no cluster", "http://127.0.0.1:9", "--kubeconfig")


def test_no_kubeconfig(tmp_path):
    path = str(tmp_path / "none")
    assert_one_line(run("--kubeconfig", path), path)


def test_a_damaged_kubeconfig(tmp_path):
    path = tmp_path / "config"
    path.write_text("{[")
    assert_one_line(run("--kubeconfig", str(path)), str(path))


def test_an_unknown_rule_lists_the_known_ones():
    assert_one_line(run("--scheduler", "best"), "best", "sjf_feasible")


def test_a_missing_checkpoint(tmp_path):
    path = str(tmp_path / "none")
    assert_one_line(run("--checkpoint", path), path)


def test_a_damaged_checkpoint(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps({"format": 99}))
    assert_one_line(run("--checkpoint", str(tmp_path)), str(tmp_path), "card.json")


def test_a_missing_checkpoint_of_a_planner(tmp_path):
    path = str(tmp_path / "none")
    assert_one_line(run("--checkpoint", path, "--policy", "net+plan"), f"no checkpoint folder '{path}'")


def test_an_unknown_policy_lists_the_known_ones():
    assert_one_line(
        run("--checkpoint", "demo", "--policy", "guess"), "policy is 'guess'", "'net' or 'net+plan'"
    )


def test_a_policy_of_nothing():
    assert_one_line(run("--policy", "net+plan"), "policy net+plan is a way to play a checkpoint")


def test_a_policy_of_a_rule():
    assert_one_line(run("--scheduler", "edf", "--policy", "net+plan"), "--policy", "--scheduler")


def test_a_checkpoint_and_a_rule_at_once():
    assert_one_line(run("--checkpoint", "x", "--scheduler", "edf"), "--checkpoint", "--scheduler")


def test_an_unknown_key_in_the_config(tmp_path):
    path = tmp_path / "bridge.yaml"
    path.write_text("sped: 3\n")
    assert_one_line(run("--config", str(path)), str(path), "sped")


def test_a_nonsense_option():
    assert_one_line(run("--speed", "-1"), "speed")


def test_profiles_that_cannot_be_read(tmp_path):
    config = tmp_path / "bridge.yaml"
    config.write_text(f"profiles: [{tmp_path / 'none.csv'}]\n")
    assert_one_line(run("--config", str(config)), "none.csv")


def test_a_decision_log_that_cannot_be_written(guarded, tmp_path):
    path = str(tmp_path / "no" / "such" / "folder.jsonl")
    assert_one_line(run("--kubeconfig", guarded, "--decisions", path), path)
