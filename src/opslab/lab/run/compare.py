"""Compare two runs."""

from opslab.context import Context
from opslab.lab.run.names import existing_run
from opslab.model.checks.comparison import Comparison
from opslab.runs.comparison import compare as comparison
from opslab.runs.comparison.compare import EXIT_CODES

__all__ = ["EXIT_CODES", "compare"]


def compare(context: Context, a: str, b: str) -> Comparison:
    """Raises BadId, NotFound, Corrupt."""
    return comparison.compare(context, existing_run(context, a), existing_run(context, b))
