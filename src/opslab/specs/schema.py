"""JSON Schema of a run spec, for editors."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from opslab.model.spec.run_spec import VARIANTS, RunSpec

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the YAML document: one variant for each `mode`."""
    spec: TypeAdapter[RunSpec] = TypeAdapter(Annotated[RunSpec, Field(discriminator="mode")])
    schema: dict[str, Any] = _with_bounds(spec.json_schema(mode="validation"))
    mode = {"enum": list(VARIANTS), "description": "type of run"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RunSpec v1",
        "type": "object",
        "properties": {"mode": mode},  # the variants have it too; this lets an editor mark the field itself
        "required": ["mode"],
        **schema,
    }


def _with_bounds(value: Any) -> Any:
    """Rename the bounds of exact numbers to JSON Schema's names."""
    if isinstance(value, list):
        return [_with_bounds(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_BOUNDS.get(key, key): float(item) if key in _BOUNDS else _with_bounds(item) for key, item in value.items()}
