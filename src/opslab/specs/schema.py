"""The JSON Schema of a run spec, for editors."""

from typing import Any

from opslab.model.spec import BacktestSpec


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the YAML document."""
    schema = BacktestSpec.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "RunSpec v1", **schema}
