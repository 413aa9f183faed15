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
ACCOUNT_LEFT = Flattened(flat=False, rounds=0, seconds=0.0)
"""Of `on_stop: leave`."""


@dataclass(slots=True)
class ShutdownSequence:
    plan: LivePlan
    instrument: Instrument
    strategy: Guarded
    recorder: LiveStrategyRecorder
    client: VenueRestClient
    cache: Cache
    state: NodeState
    rest_flattener: RestFlattener
    send_snapshot: Callable[[int], None]
    stop_node: Callable[[], None]
    is_finished: bool = False
    _flatten: Flatten | HaltFlatten | None = None
    _done: Flattened | None = None
    _settles_until: float = 0.0

    def step(self, now: float) -> bool:
        """Whether it came to its end with this step."""
        if self.is_finished:
            return False
        self.recorder.report_gate()
        if self.recorder.halted and self._done is ACCOUNT_LEFT:
            self._done = None
        if self._done is None:
            self._done = self._apply_on_stop(now)
            if self._done is None:
                return False
            self._settles_until = now + SETTLE_SECONDS
            if self._succeeded():
                self.recorder.report_flattened(self._done)
            else:
                self.recorder.engine_attempt = self._done
        if not self._succeeded() or self._settled() or now >= self._settles_until:
            self.is_finished = True
            self.send_snapshot(0)
            self.stop_node()
        return self.is_finished

    def _succeeded(self) -> bool:
        """What the engine could not do is done past it, once its node has stopped and sends no order any more."""
        return not self._flattens() or (self._done is not None and self._done.flat)

    def _flattens(self) -> bool:
        return self.recorder.flattens(self.plan.on_stop)

    def _apply_on_stop(self, now: float) -> Flattened | None:
        if not self._flattens():
            return ACCOUNT_LEFT
        if self.recorder.halted and not isinstance(self._flatten, HaltFlatten):
            self._flatten = HaltFlatten(
                self.rest_flattener, self._close, self.recorder.in_flight.waiting_count, self._none_in_flight, now
            )
        elif self._flatten is None:
            self._flatten = Flatten(AccountPoller(self.client), self._close, self._none_in_flight, now)
        return self._flatten.step(now)

    def _close(self) -> None:
        instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        close_everything(self.strategy, self.cache, instrument_id)

    def _settled(self) -> bool:
        return self._none_in_flight() and (not self._flattens() or self.state.is_flat())

    def _none_in_flight(self) -> bool:
        return self.recorder.in_flight.is_empty() and self.state.none_in_flight()
