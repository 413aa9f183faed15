"""Differences of two documents, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any

from opslab.model.primitives.record import Record


class Difference(Record):
    """One field of two documents. `before` and `after` are text; None: the document does not have the field."""

    field: str
    before: str | None
    after: str | None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every field that differs, nested ones with dots, in the order of their names."""
    left, right = dict(_leaves(before)), dict(_leaves(after))
    return [
        Difference(field=name, before=left.get(name), after=right.get(name))
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", str(value).lower() if isinstance(value, bool) else str(value)
