"""Who may ask, and what for: bearer tokens and the rules behind them, both optional."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded.errors import forbidden, forbidden_path, unauthorized
from synergai.k8s_bridge.embedded.routes import Target

ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """As in a Role: `Rule(verbs={"list"}, resources={"pods"}, groups={""})`; `*` is anything."""

    verbs: frozenset[str]
    resources: frozenset[str]
    """`pods`, `pods/binding`."""
    groups: frozenset[str] = frozenset({""})
    namespaces: frozenset[str] | None = None
    """None is the whole cluster, as in a ClusterRole."""

    def allows(self, verb: str, target: Target) -> bool:
        if self.namespaces is not None and target.namespace not in self.namespaces:
            return False
        return (
            not self.verbs.isdisjoint((verb, ANY))
            and not self.groups.isdisjoint((target.resource.group, ANY))
            and not self.resources.isdisjoint((_resource_text(target), ANY))
        )


@dataclass(frozen=True, slots=True)
class User:
    """A name and what it may do; without rules everything."""

    name: str
    rules: tuple[Rule, ...] | None = None


ADMIN = User("system:admin")
ANONYMOUS = User("system:anonymous", ())
PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
"""What anybody may read (the role system:public-info-viewer)."""


@dataclass(frozen=True, slots=True)
class Access:
    """Users by their token. Without any, everybody is an administrator."""

    users: Mapping[str, User] = field(default_factory=dict)

    def user(self, authorization: str) -> User:
        """Of an `Authorization` header, nobody's without one; 401 if it is wrong."""
        if not self.users:
            return ADMIN
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        found = self.users.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise unauthorized()
        return found


def authorize(user: User, verb: str, target: Target) -> None:
    """403 unless a rule allows it."""
    if user.rules is None or any(rule.allows(verb, target) for rule in user.rules):
        return
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = (
        f'User "{user.name}" cannot {verb} resource "{_resource_text(target)}" '
        f'in API group "{target.resource.group}" {where}'
    )
    raise forbidden(target.resource.named(target.name), why)


def authorize_path(user: User, path: str) -> None:
    """403 for what is no resource, unless the user is known or everybody may see it."""
    if user is ANONYMOUS and path.rstrip("/") not in PUBLIC:
        raise forbidden_path(user.name, path)


def _resource_text(target: Target) -> str:
    return f"{target.resource.plural}/{target.subresource}" if target.subresource else target.resource.plural
