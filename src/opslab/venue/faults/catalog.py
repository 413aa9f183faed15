"""The list of all faults, as `tc venue fault list` and the control socket give it."""

from typing import Any

from opslab.venue.faults.registry import FAULTS


def fault_catalog() -> list[dict[str, Any]]:
    """Each fault's name, summary and terms, with their defaults and descriptions; ready for JSON."""
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
