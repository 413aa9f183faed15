"""How a live run ends: gate closed, account left as `on_stop` wants it, last snapshot told, node stopped.

Stepped by the monitor on the engine's thread, once the end was asked for or the last bar was dealt with.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nautilus_trader.common import Cache
from nautilus_trader.model import InstrumentId

from opslab.model.market.instrument import Instrument
from opslab.model.messages.engine_messages import LivePlan
from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.engine_flatten import AccountPoller, Flatten, close_everything
from opslab.nautilus.live.halt_flatten import HaltFlatten
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.venue_rest_client import VenueRestClient
from opslab.nautilus.strategy.guarded import Guarded
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

SETTLE_SECONDS = 1.0
"""How long the cache may take to agree with what was done."""
LEFT = Flattened(flat=False, rounds=0, seconds=0.0)
"""Of `on_stop: leave`."""


@dataclass(slots=True)
class ShutdownSequence:
    plan: LivePlan
    instrument: Instrument
    strategy: Guarded
    watch: LiveStrategyRecorder
    client: VenueRestClient
    cache: Cache
    state: NodeState
    hunt: RestFlattener
    tell_snapshot: Callable[[int], None]
    stop_node: Callable[[], None]
    over: bool = False
    _flatten: Flatten | HaltFlatten | None = None
    _done: Flattened | None = None
    _settles_until: float = 0.0

    def step(self, now: float) -> bool:
        """Whether it came to its end with this step."""
        if self.over:
            return False
        self.watch.tell_gate()
        if self.watch.halted and self._done is LEFT:
            self._done = None
        if self._done is None:
            self._done = self._leave_account(now)
            if self._done is None:
                return False
            self._settles_until = now + SETTLE_SECONDS
            if self._succeeded():
                self.watch.tell_flattened(self._done)
            else:
                self.watch.tried = self._done
        if not self._succeeded() or self._settled() or now >= self._settles_until:
            self.over = True
            self.tell_snapshot(0)
            self.stop_node()
        return self.over

    def _succeeded(self) -> bool:
        """What the engine could not do is done past it, once its node has stopped and sends no order any more."""
        return not self._flattens() or (self._done is not None and self._done.flat)

    def _flattens(self) -> bool:
        return self.watch.flattens(self.plan.on_stop)

    def _leave_account(self, now: float) -> Flattened | None:
        if not self._flattens():
            return LEFT
        if self.watch.halted and not isinstance(self._flatten, HaltFlatten):
            self._flatten = HaltFlatten(self.hunt, self._close, self.watch.answers.waiting_count, self._none_waits, now)
        elif self._flatten is None:
            self._flatten = Flatten(AccountPoller(self.client), self._close, self._none_waits, now)
        return self._flatten.step(now)

    def _close(self) -> None:
        instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        close_everything(self.strategy, self.cache, instrument_id)

    def _settled(self) -> bool:
        return self._none_waits() and (not self._flattens() or self.state.is_flat())

    def _none_waits(self) -> bool:
        return self.watch.answers.is_empty() and self.state.none_in_flight()
