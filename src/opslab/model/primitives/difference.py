"""Where two documents differ, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any

from opslab.model.primitives.record import Record


class Difference(Record):
    """One field of two documents. `before` and `after` are as text; None where the field is not there."""

    field: str
    before: str | None
    after: str | None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every field that differs, nested ones with dots, in the order of their names."""
    one, two = dict(_leaves(before)), dict(_leaves(after))
    return [
        Difference(field=name, before=one.get(name), after=two.get(name))
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name)
    ]


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", str(value).lower() if isinstance(value, bool) else str(value)
