"""The trace of a drill that was carried out."""

from typing import TYPE_CHECKING

from opslab.lab.run.traces import export_spans, new_trace

if TYPE_CHECKING:
    from opslab.model.checks.drill import DrillRecord


def export_drill(record: "DrillRecord") -> str | None:
    """Export the trace of a recorded drill, if traces are requested. Returns a note; a failure changes nothing."""
    trace, problem = new_trace()
    if trace is None:
        return problem
    from opslab.drills.spans import spans_of_drill

    return export_spans(f"drill {record.definition.name}", spans_of_drill(record, trace)) or problem
