"""YAML read strictly, with the line of every key: one mapping, no key twice, no aliases, no deep nesting."""

from dataclasses import dataclass, field
from typing import Any  # a YAML file holds anything

import yaml

DEEPEST = 16
"""Levels of mappings and lists; more is a mistake, or meant to exhaust the reader."""
LONGEST = 1_000_000
"""Characters."""


class YamlError(ValueError):
    """One or more lines, each with file, line and, where there is one, key."""


@dataclass(frozen=True)
class Document:
    """What a file says, and where; where something stands makes it no different, so all are equal."""

    source: str = field(compare=False)
    """How errors call the file."""
    tree: yaml.Node = field(compare=False)
    values: dict[str, Any] = field(compare=False)

    def place(self, path: tuple[Any, ...]) -> str:
        """`FILE:LINE: KEY` of a path of keys and list indices: the line of its deepest part that the file has."""
        line, node = self.tree.start_mark.line + 1, self.tree
        for part in path:
            child = _child(node, part)
            if child is None:
                break
            line, node = child
        return f"{self.source}:{line}: {'.'.join(str(part) for part in path) or 'file'}"


def read(data: bytes, source: str) -> Document:
    """YamlError for what is not one plain mapping."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise YamlError(
            f"{source}:{line}: file: is not UTF-8 text (byte 0x{data[error.start]:02x})"
        ) from None
    if len(text) > LONGEST:
        raise YamlError(f"{source}:1: file: {len(text)} characters; at most {LONGEST} are read")
    try:
        _refuse_the_unusual(text, source)
        tree = yaml.compose(text, yaml.SafeLoader)
        problems = _twice(tree, source, ())
        values = None if problems else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise YamlError(f"{source}:{_line_of(error, text)}: file: not YAML: {_reason(error)}") from None
    except ValueError as error:  # of a timestamp or number that looks like one and is none
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"{source}:1: file: not YAML: {error}") from None
    if problems:
        raise YamlError("\n".join(problems))
    if not isinstance(values, dict) or tree is None:
        kind = {type(None): "nothing", list: "a list"}.get(type(values), f"{values!r}")
        raise YamlError(f"{source}:1: file: holds {kind}; a mapping of keys to values is due")
    return Document(source, tree, values)


def _refuse_the_unusual(text: str, source: str) -> None:
    depth, documents = 0, 0
    for event in yaml.parse(text, yaml.SafeLoader):
        what = ""
        if isinstance(event, yaml.AliasEvent):
            what = f"*{event.anchor}: aliases are not read; write the value out"
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            what = "a second document begins; one is read" if documents > 1 else ""
        elif isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.style is None:
            what = "<<: merge keys are not read; write the values out"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            what = f"nested more than {DEEPEST} deep" if depth > DEEPEST else ""
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if what:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise YamlError(f"{source}:{line}: file: {what}")


def _twice(node: yaml.Node | None, source: str, path: tuple[str, ...]) -> list[str]:
    """Keys that stand twice in a mapping (YAML lets the last one win), and keys that are no scalars."""
    problems = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            at = f"{source}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                problems.append(
                    f"{at}: {'.'.join(path) or 'file'}: a key is a list or a mapping; a word is due"
                )
                continue
            here = (*path, key.value)
            if key.value in seen:
                problems.append(f"{at}: {'.'.join(here)}: the key stands twice")
            seen.add(key.value)
            problems += _twice(value, source, here)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            problems += _twice(value, source, (*path, str(i)))
    return problems


def _line_of(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else 1
    position = getattr(error, "position", 0)
    return text[: position if isinstance(position, int) else 0].count("\n") + 1


def _reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return str(error.problem or error.context)
    return " ".join(str(getattr(error, "reason", error)).split())


def _child(node: yaml.Node, part: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
