"""Live status of a running run, written by its owner; also the owner's heartbeat."""

from collections.abc import Callable
from dataclasses import dataclass

from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.run.live_status import LiveStatus, PaperStatus
from opslab.model.run.metadata import Owner
from opslab.model.run.run_counters import OrderCounters
from opslab.ports import Clock
from opslab.store.layout import Layout
from opslab.store.runs.live_files import write_live

BEAT_SECONDS = 1.0
"""Interval of writes."""


@dataclass(frozen=True, slots=True)
class LiveValues:
    bars_seen: int
    actions: int
    orders: OrderCounters
    paper: PaperStatus | None = None


class LiveStatusWriter:
    """Writes the live values of a run, at most once a second."""

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        run_id: RunId,
        owner: Owner,
        bars_total: int,
        on_live: Callable[[LiveStatus], None] = lambda _live: None,
    ) -> None:
        """on_live: called with the written values."""
        self._layout = layout
        self._clock = clock
        self._run_id = run_id
        self._owner = owner
        self._total = bars_total
        self._on_live = on_live
        self._next_s = clock.monotonic_s()

    def write(self, values: Callable[[], LiveValues]) -> None:
        """values: called when they are due."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + BEAT_SECONDS
        now = values()
        live = LiveStatus(
            run_id=self._run_id,
            owner=self._owner,
            heartbeat_at=iso(self._clock.now_ns()),
            bars_seen=now.bars_seen,
            bars_total=self._total,
            actions=now.actions,
            orders=now.orders,
            paper=now.paper,
        )
        write_live(self._layout, live)
        self._on_live(live)
