"""What the API server answers when it cannot do what was asked: one exception that carries a `Status`.

Codes, reasons and texts are those of kube-apiserver (apimachinery/pkg/api/errors).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from synergai.k8s_bridge.embedded.objects import Json

STATUS_HEAD: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}}


class ApiError(Exception):
    """A refusal; `status()` is its body."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def status(self) -> Json:
        body = {**STATUS_HEAD, "status": "Failure", "message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return {**body, "code": self.code}


class NotServed(Exception):
    """Nothing is served under this path; answered with a plain text and 404."""


class Named(NamedTuple):
    """What an error is about."""

    plural: str
    group: str
    kind: str
    name: str = ""

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def details(self, **more: object) -> Json:
        given = {"name": self.name, "group": self.group, "kind": self.plural}
        return {key: value for key, value in given.items() if value} | more


class Cause(NamedTuple):
    """One field that is wrong."""

    field: str
    reason: str
    message: str

    def shown(self) -> Json:
        given = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in given.items() if value}


def invalid_value(field: str, value: object, why: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")


def unsupported(field: str, value: str, supported: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{choice}"' for choice in supported)
    return Cause(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}')


def required(field: str, why: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def duplicate(field: str, value: str, why: str = "") -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {value}{f': {why}' if why else ''}")


def forbidden_field(field: str, why: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def success(details: Json | None = None, code: int | None = None) -> Json:
    body = {**STATUS_HEAD, "status": "Success"}
    if details is not None:
        body["details"] = details
    return body if code is None else {**body, "code": code}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(named: Named, why: str, *causes: Cause) -> ApiError:
    name = f' "{named.name}"' if named.name else ""
    details = named.details(causes=[cause.shown() for cause in causes]) if causes else named.details()
    return ApiError(403, "Forbidden", f"{named.resource}{name} is forbidden: {why}", details)


def forbidden_path(user: str, path: str) -> ApiError:
    return ApiError(403, "Forbidden", f'forbidden: User "{user}" cannot get path "{path}"', {})


def not_found(named: Named) -> ApiError:
    return ApiError(404, "NotFound", f'{named.resource} "{named.name}" not found', named.details())


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def not_acceptable() -> ApiError:
    return ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, "
        "application/json;as=Table;v=v1;g=meta.k8s.io, "
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    )


def already_exists(named: Named) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{named.resource} "{named.name}" already exists', named.details())


def conflict(named: Named, why: str, subresource: str = "") -> ApiError:
    resource = f"{named.resource}/{subresource}" if subresource else named.resource
    message = f'Operation cannot be fulfilled on {resource} "{named.name}": {why}'
    kind = f"{named.plural}/{subresource}" if subresource else named.plural
    return ApiError(409, "Conflict", message, named.details(kind=kind))


def modified(named: Named) -> ApiError:
    return conflict(
        named, "the object has been modified; please apply your changes to the latest version and try again"
    )


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def body_too_large(limit: int) -> ApiError:
    return ApiError(
        413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {"retryAfterSeconds": 0}
    )


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted), {})


def invalid(named: Named, causes: Sequence[Cause]) -> ApiError:
    kind = f"{named.kind}.{named.group}" if named.group else named.kind
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    about = named._replace(plural=named.kind)
    details = about.details(causes=[cause.shown() for cause in causes])
    return ApiError(422, "Invalid", f'{kind} "{named.name}" is invalid: {listed}', details)


def too_large_resource_version(asked: int, current: int) -> ApiError:
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1}, {"Retry-After": "1"})


def unclassified(message: str) -> ApiError:
    """What kube-apiserver answers with an error that it has not made a Status of: 500 and a text, no reason."""
    return ApiError(500, "", message)


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
