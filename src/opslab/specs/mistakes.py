"""Turn validation errors into mistakes that use the descriptions, choices and names of the spec's fields."""

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
"""Pydantic's text of a Decimal bound."""
_EXPECTED = {
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
    """The variant to validate `values` with: that of `mode`; if invalid, of the nearest mode or of a mode's block."""
    mode = values.get("mode")
    close = nearest(mode, VARIANTS, 1) if isinstance(mode, str) else []
    blocks = [name for name in VARIANTS if name in values]
    for name, variant in VARIANTS.items():
        if name in [*close, *blocks][:1]:
            return variant
    return VARIANTS["backtest"]


def mistake_from_error(details: Any, tree: Tree, variant: type[RunSpec]) -> Mistake:
    """details: one of pydantic's errors."""
    field = _field_of(details["loc"], variant)
    line, column = tree.location(field.path)
    return Mistake(_message(details, field), line=line, column=column, field=dotted(field.path))


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of the document, present or missing."""

    path: KeyPath
    model: type[BaseModel] | None
    """The model of the field; None inside a list or inside free-form values."""

    @property
    def known(self) -> list[str]:
        return list(self.model.model_fields) if self.model else []

    @property
    def description(self) -> str:
        field = self.model.model_fields.get(str(self.path[-1])) if self.model else None
        return (field.description if field else None) or "see tc spec schema"

    @property
    def options(self) -> tuple[Any, ...]:
        """The allowed values, if the field is a choice."""
        if self.path == ("mode",):
            return tuple(VARIANTS)
        field = self.model.model_fields.get(str(self.path[-1])) if self.model else None
        return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _field_of(location: KeyPath, variant: type[RunSpec]) -> _Field:
    steps = list(_steps(location, variant))
    model = steps[-2][1] if len(steps) > 1 else variant
    return _Field(tuple(part for part, _ in steps), model)


def _message(details: Any, field: _Field) -> str:
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        options = " or ".join(str(option) for option in field.options)
        return f"is missing: {field.description}{f'; must be {options}' if options else ''}"
    if kind == "extra_forbidden":
        return _unknown_field(field)
    if kind == "literal_error":
        return _not_one_of(field, given)
    if kind == "kind_of_strategy":
        return _kind_of_strategy(details["msg"], given)
    if kind == "value_error" and isinstance(given, dict):
        return str(context["error"])
    if kind == "value_error":
        return f"{context['error']}{_got(field.path, given)}"
    bounds = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
    bounds["less_than_equal"] = "at most"
    if kind in bounds:
        limit = _DECIMAL.sub(r"\1", str(next(iter(context.values()))))
        return f"must be {bounds[kind]} {limit}{_got(field.path, given)}"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}{_got(field.path, given)}: {field.description}"
    return f"{details['msg']}{_got(field.path, given)}"


def _unknown_field(field: _Field) -> str:
    name = str(field.path[-1])
    if len(field.path) == 1 and name in VARIANTS:
        return f"is for mode {name}: remove it, or change mode"
    close = nearest(name, field.known, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown field{guess}; known here: {', '.join(field.known)}"


def _kind_of_strategy(message: str, given: dict[str, Any]) -> str:
    if "name" in given:
        return f"{message}; got both"
    known = ["name", "version", "path", "config_path", "config"]
    guesses = [close for key in given for close in nearest(key, known, 1) if key not in known]
    guess = f" (did you mean '{guesses[0]}'?)" if guesses else ""
    return f"{message}; got neither{guess}"


def _not_one_of(field: _Field, given: Any) -> str:
    known = [str(option) for option in field.options]
    close = nearest(given, known, 1) if isinstance(given, str) else []
    guess = f"; did you mean '{close[0]}'?" if close else ""
    return f"must be {' or '.join(known)}{_got(field.path, given)}{guess}"


def _got(path: KeyPath, given: Any) -> str:
    """The given value, unless it may be a secret."""
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


def _steps(location: KeyPath, variant: type[RunSpec]) -> Iterator[tuple[str | int, type[BaseModel] | None]]:
    """Every key of a location with the model below it; names of a union's variants are not keys and are left out."""
    model: type[BaseModel] | None = variant
    parts = iter(location)
    for part in parts:
        inner = model.model_fields.get(str(part)) if model else None
        kind: Any = inner.annotation if inner else None
        variants = _variants(kind)
        if variants:
            kind = variants.get(str(next(parts, None)))
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        yield part, model


def _variants(kind: Any) -> dict[str, Any]:
    """Tag to model of a tagged union; empty for any other type."""
    members = [get_args(member) for member in get_args(kind)]
    return {mark.tag: member[0] for member in members for mark in member[1:] if isinstance(mark, Tag)}
