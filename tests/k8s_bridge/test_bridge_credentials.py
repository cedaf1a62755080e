"""Credentials: whatever a kubeconfig lacks is one line that says what to do; TLS is never switched off."""

import stat
import sys

import pytest
import yaml

from synergai.k8s_bridge.api.credentials import Credentials, CredentialsError, load


def kubeconfig(folder, cluster: dict | None = None, user: dict | None = None) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster or {"server": "http://127.0.0.1:8001"}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def headers(credentials: Credentials) -> dict[str, str]:
    credentials.refresh()
    return credentials.headers()


def test_a_token_is_sent_as_bearer(tmp_path):
    path = kubeconfig(tmp_path, user={"token": "secret"})
    assert headers(load(path)) == {"Authorization": "Bearer secret"}


def test_without_a_token_nothing_is_sent(tmp_path):
    assert headers(load(kubeconfig(tmp_path))) == {}


def test_an_exec_plugin_gives_the_token(tmp_path):
    plugin = tmp_path / "plugin"
    version = "client.authentication.k8s.io/v1"
    reply = f'{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "fresh"}}}}'
    plugin.write_text(f"#!{sys.executable}\nprint('''{reply}''')\n", encoding="utf-8")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    path = kubeconfig(tmp_path, user={"exec": {"apiVersion": version, "command": str(plugin)}})
    assert headers(load(path)) == {"Authorization": "Bearer fresh"}


@pytest.mark.parametrize(
    ("cluster", "named"),
    [
        ({"server": "https://10.0.0.1", "insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        ({"server": "http://10.0.0.1"}, "not https"),
        ({"server": "gopher://x"}, "not an https URL"),
        ({"server": "https://10.0.0.1", "certificate-authority": "/none/ca.crt"}, "ca.crt"),
        ({"server": "https://10.0.0.1", "certificate-authority-data": "AAAA"}, "certificates"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_line(tmp_path, cluster, named):
    with pytest.raises(CredentialsError) as caught:
        load(kubeconfig(tmp_path, cluster))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[", "just text", "a: 1", "clusters: 3\ncontexts: 4\ncurrent-context: x"]
)
def test_a_damaged_kubeconfig_is_one_line_that_names_it(tmp_path, text):
    path = tmp_path / "broken"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CredentialsError) as caught:
        load(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_kubeconfig_and_no_pod_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "synergai.k8s_bridge.api.credentials.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(CredentialsError, match="--kubeconfig"):
        load()


@pytest.mark.parametrize(("context", "namespace"), [("x", "default"), ("y", "plant-3"), ("", "default")])
def test_the_namespace_is_the_contexts(tmp_path, context, namespace):
    path = kubeconfig(tmp_path)
    config = yaml.safe_load((tmp_path / "config").read_text())
    there = {"cluster": "c", "user": "u", "namespace": "plant-3"}
    config["contexts"].append({"name": "y", "context": there})
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert load(path, context).namespace == namespace


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def rotating(folder, **user: str) -> tuple[Credentials, Clock]:
    credentials, clock = load(kubeconfig(folder, user=user)), Clock()
    credentials.monotonic = clock
    return credentials, clock


def sent(credentials: Credentials) -> str:
    """What a client sends: it reads the token again where that is due."""
    if credentials.stale():
        credentials.refresh()
    return credentials.headers().get("Authorization", "")


def test_a_token_file_is_read_again_each_minute(tmp_path):
    token = tmp_path / "token"
    token.write_text("old")
    credentials, clock = rotating(tmp_path, tokenFile=str(token))
    before = sent(credentials)
    token.write_text("new")
    clock.now_s = 59.0
    within = sent(credentials)
    clock.now_s = 61.0
    assert [before, within, sent(credentials)] == ["Bearer old", "Bearer old", "Bearer new"]


def test_a_kubeconfig_that_was_written_anew_is_read_when_the_token_is_refused(tmp_path):
    credentials, _ = rotating(tmp_path, token="old")
    before = sent(credentials)
    kubeconfig(tmp_path, user={"token": "new"})
    assert sent(credentials) == before
    credentials.refused(credentials.headers())
    assert sent(credentials) == "Bearer new"


def test_a_refusal_of_the_token_before_the_last_reads_nothing(tmp_path):
    credentials, clock = rotating(tmp_path, token="old")
    old = {"Authorization": sent(credentials)}
    kubeconfig(tmp_path, user={"token": "new"})
    clock.now_s = 61.0
    assert sent(credentials) == "Bearer new"
    credentials.refused(old)
    assert not credentials.stale()


@pytest.mark.parametrize("text", ["", "[", "clusters: 3"])
def test_a_file_that_is_half_written_leaves_the_token_that_was(tmp_path, text, caplog):
    credentials, clock = rotating(tmp_path, token="old")
    assert sent(credentials) == "Bearer old"
    (tmp_path / "config").write_text(text)
    clock.now_s = 61.0
    assert sent(credentials) == "Bearer old"
    assert "cannot be read again" in caplog.text
    kubeconfig(tmp_path, user={"token": "new"})
    clock.now_s = 122.0
    assert sent(credentials) == "Bearer new"


def test_an_exec_plugin_runs_again_when_its_token_is_refused_and_not_each_minute(tmp_path):
    runs = tmp_path / "runs"
    plugin = tmp_path / "plugin"
    version = "client.authentication.k8s.io/v1"
    plugin.write_text(
        f"#!{sys.executable}\nimport json, pathlib\nruns = pathlib.Path({str(runs)!r})\n"
        "count = len(runs.read_text()) + 1 if runs.exists() else 1\nruns.write_text('x' * count)\n"
        "status = {'token': f't{count}'}\n"
        f"print(json.dumps({{'apiVersion': {version!r}, 'kind': 'ExecCredential', 'status': status}}))\n",
        encoding="utf-8",
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    path = kubeconfig(tmp_path, user={"exec": {"apiVersion": version, "command": str(plugin)}})
    credentials, clock = load(path), Clock()
    credentials.monotonic = clock
    first = sent(credentials)
    clock.now_s = 61.0
    assert sent(credentials) == first
    credentials.refused(credentials.headers())
    assert sent(credentials) != first
