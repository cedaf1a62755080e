"""Whether an object is the one that a request means, and still is: 400 or 409 where not, in kube-apiserver's words."""

from synergai.k8s_bridge.embedded.errors import (
    ApiError,
    Named,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    modified,
    unclassified,
)
from synergai.k8s_bridge.embedded.objects import Json, Stored, metadata
from synergai.k8s_bridge.embedded.resources import Resource

_DELETE_ENDINGS = {
    "uid": ("UID", "The object might have been deleted and then recreated"),
    "resourceVersion": ("ResourceVersion", "The object might have been modified"),
}


def of_type(sent: Json, resource: Resource) -> None:
    """The kind and version of what was sent; a built-in kind may leave them out."""
    kind, version = sent.get("kind") or "", sent.get("apiVersion") or ""
    if resource.custom and not kind:
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): no kind")
    if version != resource.group_version and (version or resource.custom):
        raise bad_request(
            f"the API version in the data ({version}) does not match "
            f"the expected API version ({resource.group_version})"
        )
    if kind in ("", resource.kind):
        return
    if resource.custom:
        named = resource.named(metadata(sent).get("name", ""))._replace(kind=kind)
        raise invalid(named, [invalid_value("kind", kind, f"must be {resource.kind}")])
    raise bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}')


def of_binding(pod: Stored, named: Named, sent: Json) -> None:
    """uid and resourceVersion of a Binding, as etcd3's store checks them."""
    held = metadata(pod.obj)
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = sent.get(field)
        if wanted and wanted != held[field]:
            raise conflict(
                named,
                f"StorageError: invalid object, Code: 4, Key: /registry/pods/{'/'.join(pod.key)}, "
                f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
                f"{label} in precondition: {wanted}, {label} in object meta: {held[field]}",
            )


def of_update(current: Stored, named: Named, sent: Json, patched: bool) -> None:
    """Name, namespace, uid and resourceVersion of what was sent; empty ones are not asked for.

    A patch to another uid is an attempt to change it, and invalid.
    """
    held = metadata(current.obj)
    if sent.get("name", "") not in ("", named.name):
        raise other_name(sent["name"], named.name)
    if sent.get("namespace", "") not in ("", current.key[0]):
        raise other_namespace()
    version, uid = sent.get("resourceVersion", ""), sent.get("uid", "")
    other_version = version not in ("", held["resourceVersion"])
    if other_version and not version.isdecimal():
        raise unclassified(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if uid not in ("", held["uid"]) and not (patched and other_version):
        if patched:
            raise invalid(named, [invalid_value("metadata.uid", uid, "field is immutable")])
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held['uid']}"
        raise conflict(named, why)
    if other_version:
        raise modified(named)


def of_delete(current: Stored, named: Named, options: Json) -> None:
    """The preconditions in DeleteOptions; the refusal names the kind, where others name the resource."""
    held = metadata(current.obj)
    named = named._replace(plural=named.kind)
    wanted = options.get("preconditions") or {}
    for field, (label, ending) in _DELETE_ENDINGS.items():
        if wanted.get(field) and wanted[field] != held[field]:
            raise conflict(
                named,
                f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record "
                f"({held[field]}). {ending}",
            )


def other_name(sent: str, named: str) -> ApiError:
    return bad_request(f"the name of the object ({sent}) does not match the name on the URL ({named})")


def other_namespace() -> ApiError:
    return bad_request(
        "the namespace of the provided object does not match the namespace sent on the request"
    )
