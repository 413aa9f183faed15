"""The JSON Schema of a run spec, for editors."""

from typing import Any

from opslab.model.spec import BacktestSpec

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the YAML document."""
    schema: dict[str, Any] = _with_bounds(BacktestSpec.model_json_schema(mode="validation"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "RunSpec v1"}


def _with_bounds(value: Any) -> Any:
    """Bounds of exact numbers under the names that JSON Schema knows."""
    if isinstance(value, list):
        return [_with_bounds(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_BOUNDS.get(key, key): float(item) if key in _BOUNDS else _with_bounds(item) for key, item in value.items()}
