"""Parse one strict YAML document to plain values, with the location of every key.

Stricter than YAML: no anchors, aliases, tags or merge keys, no duplicate keys, only text keys, bounded size and depth.
`true` and `false` are the only booleans; numbers with a decimal point become Decimal, exactly as written.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from opslab.errors import Environment, InvalidSpec, Mistake, NotFound
from opslab.model.primitives.ids import shown

MAX_BYTES = 64 * 1024
MAX_DEPTH = 10
MAX_NODES = 2_000

KeyPath = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})", re.ASCII)
_DECIMAL = re.compile(r"[-+]?[0-9]{1,40}\.[0-9]{1,40}", re.ASCII)
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(slots=True)
class Tree:
    """Values and their locations: `locations` maps a key path to (line, column), both from 1."""

    value: dict[str, Any]
    locations: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def location(self, path: KeyPath) -> tuple[int | None, int | None]:
        """The location of `path`, or of its nearest parent that has one."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.locations:
                return self.locations[path[:end]]
        return (1, 1) if self.value else (None, None)


def read_text(path: Path) -> str:
    """The file's text. Raises NotFound, Environment or InvalidSpec; never blocks on a FIFO or device."""
    name = shown_path(path)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            kind = "a directory" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise InvalidSpec(name, [Mistake(f"is {kind}")], hint="give the path of a YAML file")
        if info.st_size > MAX_BYTES:
            raise InvalidSpec(name, [Mistake(f"is {info.st_size} bytes long; the maximum is {MAX_BYTES}")])
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"spec file {name} not found", hint="check the path; the documentation has example specs"
        ) from None
    except ValueError:
        raise InvalidSpec(name, [Mistake("is not a usable path")]) from None
    except OSError as error:
        raise Environment(f"cannot read spec file {name}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistake = Mistake(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8", line=line)
        raise InvalidSpec(name, [mistake]) from None


def shown_path(path: Path) -> str:
    """The path as given, safe for one line of text."""
    text = str(path)
    return text if text.isprintable() and len(text) <= 200 else shown(text, 200)


def parse(text: str, file: str) -> Tree:
    """The document in `text`. Raises InvalidSpec if it has no tree of values."""
    try:
        _refuse_structure(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise InvalidSpec(file, [Mistake(f"is not YAML: {_problem(error)}", line=line, column=column)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        mistake = Mistake(f"character {error.character:#x} is not allowed in YAML", line=line)
        raise InvalidSpec(file, [mistake]) from None
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise InvalidSpec(file, [Mistake("is empty; a spec is a mapping that starts with 'spec_version: v1'", line=1)])
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        mistake = Mistake(f"is {kind}; a spec is a mapping of fields, 'name: value'", line=node.start_mark.line + 1)
        raise InvalidSpec(file, [mistake])
    tree = Tree({})
    tree.value = _mapping(node, (), tree)
    return tree


def _refuse_structure(text: str, file: str) -> None:
    """Refuse what must not become a tree. Reads events one by one, so that depth cannot exhaust the stack."""
    mistakes: list[Mistake] = []
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                mistakes.append(Mistake("starts a second document; a spec is one document", line=line))
        if isinstance(event, yaml.AliasEvent):
            mistakes.append(Mistake("aliases are not allowed; repeat the value", line=line, column=column))
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            nodes += 1
            if event.anchor:
                mistakes.append(Mistake("anchors are not allowed; repeat the value", line=line, column=column))
            if event.tag and event.tag != "!":
                mistakes.append(Mistake("tags are not allowed; remove it", line=line, column=column))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mistakes.append(Mistake(f"is nested deeper than {MAX_DEPTH} levels", line=line, column=column))
            break
        if nodes > MAX_NODES:
            mistakes.append(Mistake(f"has more than {MAX_NODES} values", line=line))
            break
    if mistakes:
        raise InvalidSpec(file, mistakes)


def _mapping(node: yaml.MappingNode, path: KeyPath, tree: Tree) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        if not isinstance(key_node, yaml.ScalarNode):
            tree.mistakes.append(Mistake("a key must be text", line=line, column=column, field=dotted(path)))
            continue
        key = key_node.value
        key_path = (*path, key)
        if key in values:
            first = tree.locations[key_path][0]
            message = f"duplicate key, first in line {first}; keep one"
            tree.mistakes.append(Mistake(message, line=line, column=column, field=dotted(key_path)))
            continue
        tree.locations[key_path] = (line, column)
        values[key] = _value(value_node, key_path, tree)
    return values


def _value(node: yaml.Node, path: KeyPath, tree: Tree) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, tree)
    if isinstance(node, yaml.SequenceNode):
        return list(_items(node, path, tree))
    text = str(node.value)
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _items(node: yaml.SequenceNode, path: KeyPath, tree: Tree) -> Iterator[Any]:
    for index, item in enumerate(node.value):
        tree.locations[(*path, index)] = (item.start_mark.line + 1, item.start_mark.column + 1)
        yield _value(item, (*path, index), tree)


def dotted(path: KeyPath) -> str:
    """`data.dataset`, `names[2]`: a key path as text; keys that are not identifiers are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if re.fullmatch(r"[A-Za-z0-9_]{1,64}", part) else shown(part, 40)
            text += f".{key}" if text else key
    return text


def _problem(error: yaml.MarkedYAMLError) -> str:
    return (error.problem or error.context or "cannot be parsed").splitlines()[0]
