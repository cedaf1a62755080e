"""Credentials: whatever a kubeconfig lacks is one line that says what to do; TLS is never switched off."""

import stat
import sys

import pytest
import yaml

from synergai.k8s_bridge.credentials import Credentials, CredentialsError, load


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
        "synergai.k8s_bridge.credentials.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
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
