"""End a live run: close the gate, apply `on_stop` to the account, send the last snapshot, stop the node.

Stepped by the monitor on the engine's thread, after a stop was requested or the last bar was processed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nautilus_trader.common import Cache
from nautilus_trader.model import InstrumentId

from opslab.model.market.instrument import Instrument
from opslab.model.messages.engine_messages import LivePlan
from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.engine_flatten import AccountPoller, EngineFlattener, close_everything
from opslab.nautilus.live.halt_flatten import HaltFlattener
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.venue_rest_client import VenueRestClient
from opslab.nautilus.strategy.guarded import Guarded
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

SETTLE_SECONDS = 1.0
"""Time for the engine's cache to show the result."""
ACCOUNT_UNCHANGED = Flattened(flat=False, rounds=0, seconds=0.0)
"""Result of `on_stop: leave`."""


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
    stop_node: Callable[[], None]
    is_finished: bool = False
    _flattener: EngineFlattener | HaltFlattener | None = None
    _result: Flattened | None = None
    _settle_until: float = 0.0

    def step(self, now: float, send_snapshot: Callable[[int], None]) -> bool:
        """Whether this step was the last one."""
        if self.is_finished:
            return False
        self.recorder.report_gate()
        if self.recorder.halted and self._result is ACCOUNT_UNCHANGED:
            self._result = None
        if self._result is None:
            self._result = self._apply_on_stop(now)
            if self._result is None:
                return False
            self._settle_until = now + SETTLE_SECONDS
            if self._succeeded():
                self.recorder.report_flattened(self._result)
            else:
                self.recorder.engine_attempt = self._result
        if not self._succeeded() or self._settled() or now >= self._settle_until:
            self.is_finished = True
            send_snapshot(0)
            self.stop_node()
        return self.is_finished

    def _succeeded(self) -> bool:
        """If not, the account is flattened over REST after the node has stopped, and sends no more orders."""
        return not self._must_flatten() or (self._result is not None and self._result.flat)

    def _must_flatten(self) -> bool:
        return self.recorder.must_flatten(self.plan.on_stop)

    def _apply_on_stop(self, now: float) -> Flattened | None:
        if not self._must_flatten():
            return ACCOUNT_UNCHANGED
        if self.recorder.halted and not isinstance(self._flattener, HaltFlattener):
            self._flattener = HaltFlattener(
                self.rest_flattener, self._close, self.recorder.in_flight.count, self._none_in_flight, now
            )
        elif self._flattener is None:
            self._flattener = EngineFlattener(AccountPoller(self.client), self._close, self._none_in_flight, now)
        return self._flattener.step(now)

    def _close(self) -> None:
        instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        close_everything(self.strategy, self.cache, instrument_id)

    def _settled(self) -> bool:
        return self._none_in_flight() and (not self._must_flatten() or self.state.is_flat())

    def _none_in_flight(self) -> bool:
        return self.recorder.in_flight.is_empty() and self.state.none_in_flight()
