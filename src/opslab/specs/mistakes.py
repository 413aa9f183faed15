"""What is wrong with a spec, told by the spec's own fields: their descriptions, their choices, their names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag

from opslab.errors import Mistake
from opslab.model.primitives.ids import nearest
from opslab.model.primitives.secret_shapes import HIDDEN, looks_like_secret
from opslab.model.spec.run_spec import VARIANTS, RunSpec
from opslab.specs.yaml_tree import KeyPath, Tree, dotted

_DECIMAL = re.compile(r"^Decimal\('(.*)'\)$")
"""How pydantic tells a bound that is one."""
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping of fields",
    "list_type": "a list",
    "tuple_type": "a list",
}


def variant_of(values: Mapping[str, Any]) -> type[RunSpec]:
    """The variant to check `values` by: that of `mode`; if that is none, what it may have been meant to be."""
    mode = values.get("mode")
    close = nearest(mode, VARIANTS, 1) if isinstance(mode, str) else []
    blocks = [name for name in VARIANTS if name in values]
    for name, variant in VARIANTS.items():
        if name in [*close, *blocks][:1]:
            return variant
    return VARIANTS["backtest"]


def mistake_from_error(found: Any, tree: Tree, variant: type[RunSpec]) -> Mistake:
    """found: one of pydantic's errors."""
    place = _place_of(found["loc"], variant)
    line, column = tree.place(place.path)
    return Mistake(_message(found, place), line=line, column=column, field=dotted(place.path))


@dataclass(frozen=True, slots=True)
class _Place:
    """A field that is there or should be."""

    path: KeyPath
    model: type[BaseModel] | None
    """Whose field it is; None inside of a list or of a field's own values."""

    @property
    def known(self) -> list[str]:
        return list(self.model.model_fields) if self.model else []

    @property
    def description(self) -> str:
        field = self.model.model_fields.get(str(self.path[-1])) if self.model else None
        return (field.description if field else None) or "see tc spec schema"

    @property
    def options(self) -> tuple[Any, ...]:
        """What a field that is a choice can be."""
        if self.path == ("mode",):
            return tuple(VARIANTS)
        field = self.model.model_fields.get(str(self.path[-1])) if self.model else None
        return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _place_of(located: KeyPath, variant: type[RunSpec]) -> _Place:
    steps = list(_steps(located, variant))
    model = steps[-2][1] if len(steps) > 1 else variant
    return _Place(tuple(part for part, _ in steps), model)


def _message(found: Any, place: _Place) -> str:
    kind, context, given = found["type"], found.get("ctx", {}), found["input"]
    if kind == "missing":
        options = " or ".join(str(option) for option in place.options)
        return f"is missing: {place.description}{f'; must be {options}' if options else ''}"
    if kind == "extra_forbidden":
        return _unknown_field(place)
    if kind == "literal_error":
        return _not_one_of(place, given)
    if kind == "kind_of_strategy":
        return _kind_of_strategy(found["msg"], given)
    if kind == "value_error" and isinstance(given, dict):
        return str(context["error"])
    if kind == "value_error":
        return f"{context['error']}{_got(place.path, given)}"
    bounds = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
    bounds["less_than_equal"] = "at most"
    if kind in bounds:
        limit = _DECIMAL.sub(r"\1", str(next(iter(context.values()))))
        return f"must be {bounds[kind]} {limit}{_got(place.path, given)}"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}{_got(place.path, given)}: {place.description}"
    return f"{found['msg']}{_got(place.path, given)}"


def _unknown_field(place: _Place) -> str:
    name = str(place.path[-1])
    if len(place.path) == 1 and name in VARIANTS:
        return f"is for mode {name}: remove it, or change mode"
    close = nearest(name, place.known, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown field{guess}; known here: {', '.join(place.known)}"


def _kind_of_strategy(message: str, given: dict[str, Any]) -> str:
    if "name" in given:
        return f"{message}; got both"
    known = ["name", "version", "path", "config_path", "config"]
    guesses = [close for key in given for close in nearest(key, known, 1) if key not in known]
    guess = f" (did you mean '{guesses[0]}'?)" if guesses else ""
    return f"{message}; got neither{guess}"


def _not_one_of(place: _Place, given: Any) -> str:
    known = [str(option) for option in place.options]
    close = nearest(given, known, 1) if isinstance(given, str) else []
    guess = f"; did you mean '{close[0]}'?" if close else ""
    return f"must be {' or '.join(known)}{_got(place.path, given)}{guess}"


def _got(path: KeyPath, given: Any) -> str:
    """What was found instead, unless it may be a secret."""
    if given is None:
        return ", got nothing"
    if isinstance(given, dict):
        return ", got a mapping"
    if isinstance(given, list):
        return ", got a list"
    text = str(given).lower() if isinstance(given, bool) else str(given)
    if looks_like_secret(text, str(path[-1]) if path else ""):
        return f", got {HIDDEN}"
    return f", got {ascii(text[:40]) if isinstance(given, str) else text[:40]}{'...' if len(text) > 40 else ''}"


def _steps(located: KeyPath, variant: type[RunSpec]) -> Iterator[tuple[str | int, type[BaseModel] | None]]:
    """Every key of a place, with the model below it; names of a union's variants are no keys and left out."""
    model: type[BaseModel] | None = variant
    parts = iter(located)
    for part in parts:
        inner = model.model_fields.get(str(part)) if model else None
        kind: Any = inner.annotation if inner else None
        variants = _variants(kind)
        if variants:
            kind = variants.get(str(next(parts, None)))
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        yield part, model


def _variants(kind: Any) -> dict[str, Any]:
    """The models of a tagged union, by tag; none when `kind` is not one."""
    members = [get_args(member) for member in get_args(kind)]
    return {mark.tag: found[0] for found in members for mark in found[1:] if isinstance(mark, Tag)}
