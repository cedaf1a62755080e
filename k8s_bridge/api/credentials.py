"""Where the API server is and who we are there, read by the kubernetes package's own loaders."""

import ipaddress
import logging
import math
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.config import ConfigException, incluster_config, kube_config

log = logging.getLogger(__name__)

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""
TOKEN_AGE_S = 60.0
"""A token is read again after this long: service account tokens and exec plugins rotate."""
REREAD_S = 1.0
"""While the server refuses it, it is read again this often: an exec plugin may be a process of its own."""

_DAMAGED = (
    ConfigException,
    yaml.YAMLError,
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    StopIteration,
)
"""What the loader meets a damaged file with; each means the same to the user."""


class CredentialsError(Exception):
    """No usable way to a cluster; one line that says what to do."""


@dataclass
class Credentials:
    """One cluster and one identity. `token` is empty where a client certificate, or nobody, speaks."""

    host: str
    tls: ssl.SSLContext | None = None
    proxy: str | None = None
    server_name: str | None = None
    """Name the server's certificate is checked against, where it is not the host's."""
    namespace: str = "default"
    """The pod's own, or that of the kubeconfig's context."""
    token_source: Callable[[], str | None] = lambda: None
    fresh_source: Callable[[], str | None] | None = None
    """The same where the last one was refused: from its files, whatever it says of its own age."""
    monotonic: Callable[[], float] = time.monotonic
    _authorization: str | None = field(default=None, repr=False)
    _read_at_s: float | None = None
    _refused: bool = False
    _reread_at_s: float = -math.inf

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": self._authorization} if self._authorization else {}

    def stale(self) -> bool:
        now_s = self.monotonic()
        if self._refused and now_s - self._reread_at_s >= REREAD_S:
            return True
        return self._read_at_s is None or now_s - self._read_at_s > TOKEN_AGE_S

    def refused(self, headers: Mapping[str, str]) -> None:
        """The server answered 401 to a request with these headers."""
        self._refused |= headers.get("Authorization") == self._authorization

    def refresh(self) -> None:
        """Read the token again; may block on a file or an exec plugin. One that cannot be read leaves the last."""
        now_s = self.monotonic()
        source = self.fresh_source if self._refused and self.fresh_source else self.token_source
        if self._refused:
            self._reread_at_s = now_s
        try:
            self._authorization = source()
        except (
            Exception
        ) as error:  # of a file that is half written, or a plugin: it may be well the next time
            log.warning("the credentials cannot be read again: %r", error)
        else:
            self._refused = False
        self._read_at_s = now_s


def load(kubeconfig: str = "", context: str = "") -> Credentials:
    """The named kubeconfig; else KUBECONFIG or ~/.kube/config; else the pod's service account."""
    default = os.path.expanduser(kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    found = any(os.path.exists(path) for path in default.split(os.pathsep))
    if kubeconfig or found:
        path = kubeconfig or default
        read = partial(_from_file, path=path, context=context)
        by_plugin = _has_plugin(path, context)
    elif incluster_config.SERVICE_HOST_ENV_NAME in os.environ:
        read, by_plugin = _from_pod, False
    else:
        raise CredentialsError(
            f"no cluster: {default} does not exist and this is no pod; name one with --kubeconfig FILE"
        )
    configuration = Configuration()
    namespace = read(configuration)
    made = replace(from_configuration(configuration, kubeconfig or default), namespace=namespace)
    fresh = partial(_token, read)
    # a plugin says itself how long its token is good, which the loader heeds; of a file nobody knows
    return replace(made, fresh_source=fresh, token_source=made.token_source if by_plugin else fresh)


def _token(read: Callable[[Configuration], str]) -> str | None:
    """As the files have it now."""
    configuration = Configuration()
    read(configuration)
    return _authorization(configuration)


def _authorization(configuration: Configuration) -> str | None:
    return configuration.get_api_key_with_prefix("BearerToken", alias="authorization")


def _has_plugin(path: str, context: str) -> bool:
    """Whether the context's user is an exec plugin; no where the file cannot be used, which is told elsewhere."""
    try:
        merged: Any = kube_config.KubeConfigMerger(path).config  # none where there is no file
        contexts: Any  # the package's hints are wrong here: these are dictionaries
        contexts, active = kube_config.list_kube_config_contexts(config_file=path)
        chosen = next(each for each in contexts if each["name"] == (context or active["name"]))
        return "exec" in merged["users"].get_with_name(chosen["context"]["user"])["user"].value
    except _DAMAGED:
        return False


def _from_file(configuration: Configuration, path: str, context: str) -> str:
    try:
        kube_config.load_kube_config(
            config_file=path,
            context=context or None,
            client_configuration=configuration,
            persist_config=False,
        )
        contexts: Any  # the package's hints are wrong here: these are dictionaries
        contexts, active = kube_config.list_kube_config_contexts(config_file=path)
        chosen = next(each for each in contexts if each["name"] == (context or active["name"]))
        return chosen["context"].get("namespace") or "default"
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CredentialsError(
            f"cannot use kubeconfig {path}: {reason}; check it with 'kubectl --kubeconfig {path} get nodes'"
        ) from error


def _from_pod(configuration: Configuration) -> str:
    try:
        incluster_config.load_incluster_config(client_configuration=configuration)
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise CredentialsError(f"cannot use the pod's service account: {error}; mount its token") from error


def from_configuration(configuration: Configuration, source: str) -> Credentials:
    """Check what a loader found; TLS is always verified."""
    host = configuration.host.rstrip("/")
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CredentialsError(f"cannot use {source}: its server {host!r} is not an https URL")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise CredentialsError(
            f"cannot use {source}: its server {host} is not https; credentials would be readable"
        )
    if not configuration.verify_ssl:
        raise CredentialsError(
            f"cannot use {source}: it sets insecure-skip-tls-verify, and TLS is always verified here; "
            "put the cluster's certificate-authority there instead"
        )
    return Credentials(
        host=host,
        tls=_tls(configuration, source) if parts.scheme == "https" else None,
        proxy=configuration.proxy or None,
        server_name=configuration.tls_server_name or None,
        token_source=partial(_authorization, configuration),
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(configuration: Configuration, source: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ssl.SSLError) as error:
        raise CredentialsError(f"cannot use {source}: its certificates cannot be read ({error})") from error
    return context
