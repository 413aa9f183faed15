"""The heartbeat of a run's owner."""

from opslab.model.ids import RunId
from opslab.model.instant import iso
from opslab.model.live import Live
from opslab.model.run import Owner
from opslab.ports import Clock
from opslab.store.layout import Layout
from opslab.store.live import write_live

BEAT_SECONDS = 1.0


class Heart:
    """Writes the run's live values, at most once a second."""

    def __init__(self, layout: Layout, clock: Clock, run_id: RunId, owner: Owner, bars_total: int) -> None:
        self._layout = layout
        self._clock = clock
        self._run_id = run_id
        self._owner = owner
        self._total = bars_total
        self._next_s = clock.monotonic_s()

    def beat(self, bars_seen: int) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + BEAT_SECONDS
        live = Live(
            run_id=self._run_id,
            owner=self._owner,
            heartbeat_at=iso(self._clock.now_ns()),
            bars_seen=bars_seen,
            bars_total=self._total,
        )
        write_live(self._layout, live)
