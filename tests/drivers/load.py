"""Bounds in seconds that hold at rest, and grow with what else the machine has to do."""

import os


def stretched(seconds: float) -> float:
    """As much longer as processes have waited for a processor in the last minute; unchanged on a machine at rest."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
