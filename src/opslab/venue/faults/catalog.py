"""The faults there are, as they are told."""

from typing import Any

from opslab.venue.faults.registry import FAULTS


def fault_catalog() -> list[dict[str, Any]]:
    """Name, what it does, and its terms with defaults and meaning; ready for JSON."""
    return [
        {
            "name": fault.name,
            "summary": fault.summary,
            "immediate": fault.is_immediate,
            "terms": {
                name: {"default": field.default, "description": field.description or ""}
                for name, field in fault.terms.model_fields.items()
            },
        }
        for fault in FAULTS.values()
    ]
