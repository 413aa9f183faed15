"""What ends a drill at once: the conditions under which it must not go on breaking things."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from opslab.drills.drill import HEARTBEAT
from opslab.errors import Environment
from opslab.model.checks.drill import HistoryEvent
from opslab.ports import Clock
from opslab.store.disk import disk_space

MAX_PASS_SECONDS = 180.0
"""Without requested durations of faults."""


class Aborted(Exception):
    """A stop condition holds. The text says which."""


class Interrupted(Exception):
    """The operator asked for the end. The text is the name of the signal."""


class NotStarted(Environment):
    """The run of a pass ended before it had a folder: there is nothing to record."""


@dataclass(frozen=True, slots=True)
class StopConditions:
    max_seconds: float = MAX_PASS_SECONDS
    """Of one pass."""
    max_position: Decimal = Decimal(1)
    """Size of the position, in the base asset."""
    min_free_bytes: int = 64 << 20

    def check(self, began_s: float, clock: Clock, home: Path) -> None:
        """Raises Aborted."""
        if clock.monotonic_s() - began_s > self.max_seconds:
            raise Aborted(f"the pass took longer than {self.max_seconds:g} s")
        if not home.is_dir():
            raise Aborted("the home is gone")
        free = disk_space(home).free_bytes
        if free < self.min_free_bytes:
            raise Aborted(
                f"the disk of the home has {free >> 20} MiB free, the drill needs {self.min_free_bytes >> 20}"
            )

    def check_event(self, event: HistoryEvent) -> None:
        """Raises Aborted for a position beyond the bound."""
        if event.event != HEARTBEAT:
            return
        for name in ("position", "node_position"):
            position = event.payload.get(name)
            if isinstance(position, str) and abs(Decimal(position)) > self.max_position:
                raise Aborted(f"the position is {position}, larger than {self.max_position}")
