"""The plan of a run that a drill makes, as its process receives it."""

from opslab.model.primitives.record import Record


class DrillRunPlan(Record):
    home: str
    """Absolute path."""
    run_id: str
    spec_text: str
    spec_file: str
    """Its name in messages."""
    spec_folder: str
    """Absolute path: a user strategy is loaded from there."""
