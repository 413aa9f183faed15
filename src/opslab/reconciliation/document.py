"""Parse strict JSON to a tree that keeps every duplicate key and every number as written."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from opslab.errors import Mistake
from opslab.model.primitives.ids import shown
from opslab.reconciliation.values import NumberText

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 8
MAX_VALUES = 200_000
"""Three parts of 10,000 rows have 160,000."""

Path = tuple[str | int, ...]


class JsonObject(dict[str, Any]):
    """An object, and its duplicate keys."""

    __slots__ = ("duplicates",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicates: tuple[str, ...] = ()
        if len(self) < len(pairs):
            self.duplicates = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)


class NotJson(str):
    """`NaN`, `Infinity` or `-Infinity`, bare."""

    __slots__ = ()


def parse(data: bytes) -> tuple[Any, list[Mistake]]:
    """(tree, mistakes): numbers are NumberText, objects JsonObject. The tree is None if parsing failed."""
    if len(data) > MAX_BYTES:
        return None, [Mistake(f"is longer than {MAX_BYTES} bytes")]
    if data.count(b",") > MAX_VALUES:  # before a tree of them is built
        return None, [Mistake(f"has more than {MAX_VALUES} values")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [Mistake(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8", line=line)]
    try:
        tree = json.loads(
            text,
            parse_float=NumberText,
            parse_int=NumberText,
            parse_constant=NotJson,
            object_pairs_hook=JsonObject,
        )
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        return None, [Mistake(f"is not JSON: {problem}", line=error.lineno, column=error.colno)]
    except RecursionError:
        return None, [Mistake(f"is nested deeper than {MAX_DEPTH} levels")]
    return tree, list(_mistakes(tree))


def _mistakes(tree: Any) -> Iterator[Mistake]:
    """Constructs that JSON or Python's parser accepts, and a snapshot must not have."""
    unvisited: list[tuple[Path, Any]] = [((), tree)]
    while unvisited:
        path, value = unvisited.pop()
        if len(path) > MAX_DEPTH:
            yield Mistake(f"is nested deeper than {MAX_DEPTH} levels", field=dotted(path))
        elif isinstance(value, JsonObject):
            for key in value.duplicates:
                yield Mistake("duplicate key; keep one", field=dotted((*path, key)))
            unvisited += [((*path, key), child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            unvisited += [((*path, index), child) for index, child in reversed(list(enumerate(value)))]
        elif isinstance(value, NotJson):
            yield Mistake(f"{value} is not JSON; write null for an unknown value", field=dotted(path))


def dotted(path: Path) -> str:
    """`positions[0].side`; keys that are not identifiers are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if part.isascii() and part.isidentifier() and len(part) <= 64 else shown(part, 40)
            text += f".{key}" if text else key
    return text
