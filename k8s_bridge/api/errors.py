"""What goes wrong with a request, as one type."""

import json
import ssl

import aiohttp

from synergai.k8s_bridge.api.wire import Reply, Unreachable


class ApiError(Exception):
    """A reply that is not 2xx, or no reply (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


def error_of(reply: Reply) -> ApiError:
    """From a Status object; API Priority and Fairness and proxies answer in plain text."""
    try:
        status = json.loads(reply.body)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    message = status.get("message") or reply.body[:200].decode(errors="replace").strip() or reply.reason
    reason = status.get("reason") or reply.reason or "Unknown"
    return ApiError(reply.status, reason, message, _retry_after_s(reply.headers.get("retry-after")))


def _retry_after_s(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None


def lost(error: Exception, host: str) -> ApiError:
    """Where no reply has come: status 0, in words for a person."""
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        return ApiError(0, "Untrusted", f"{host}: {error}")
    if isinstance(error, TimeoutError):
        return ApiError(0, "Timeout", f"{host} did not answer in time")
    if isinstance(error, aiohttp.ClientConnectorError | Unreachable):
        system = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        return ApiError(0, "Unreachable", f"{host} cannot be reached ({system.strerror or system})")
    return ApiError(0, "Disconnected", f"{host}: {error or type(error).__name__}")
