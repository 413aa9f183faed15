"""The results of a backtest: canonical rows and counters, folded from the order events that control receives.

Folded here and not in the engine's process, which has no time to spare: every order event passes its thread.
"""

from collections.abc import Sequence
from pathlib import Path

from opslab.model.messages.engine_messages import RESULT_FILES
from opslab.model.pipe.messages import EncodedEvent, EngineResult
from opslab.model.run.metadata import ScenarioCounters
from opslab.model.run.refused_orders import RefusedOrders
from opslab.model.run.results import Results
from opslab.model.run.run_counters import OrderCounters
from opslab.model.run.unsent_orders import UnsentOrders
from opslab.store.runs.run_folders import RowsFile

_UNANSWERED = frozenset({"SUBMITTED"})


class BacktestResults:
    """Call `add` with all order events, in order; `finish` after the last one; then `commit` or `keep_partial`."""

    def __init__(self, folder: Path, instrument_id: str) -> None:
        """instrument_id: of the run; events name another one only."""
        self._files = {name: RowsFile(folder, name) for name in RESULT_FILES}
        self._results = Results(lambda file, row: self._files[file].add(row))
        self._instrument_id = instrument_id
        self._submitted = 0
        self.unanswered: dict[str, str] = {}
        """Client order id to status, of orders that were open at the end and neither accepted nor refused."""

    def add(self, events: Sequence[EncodedEvent]) -> None:
        for event in events:
            if event.name == "order_event":
                values = {"instrument_id": self._instrument_id, **event.values}
                self._submitted += values["type"] == "OrderSubmitted"
                self._results.order_event(values)
        self._flush()

    def finish(self) -> None:
        """Add open orders, by creation, and open positions, by opening."""
        self.unanswered = self._results.open_orders(_UNANSWERED)
        self._results.finish()
        self._flush()

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()

    def commit(self) -> dict[str, str]:
        """Commit the files; returns their digests."""
        try:
            return {file.name: file.commit() for file in self._files.values()}
        except BaseException:
            self.keep_partial()
            raise

    def keep_partial(self) -> None:
        for file in self._files.values():
            file.keep_partial()

    def orders(self) -> OrderCounters:
        """By outcome, so far."""
        outcomes = self._results.outcomes
        return OrderCounters(
            submitted=self._submitted,
            denied=outcomes.get("DENIED", 0),
            rejected=outcomes.get("REJECTED", 0),
            canceled=outcomes.get("CANCELED", 0),
            expired=outcomes.get("EXPIRED", 0),
            filled=outcomes.get("FILLED", 0),
            fills=self._results.fills,
        )

    def counters(self, result: EngineResult) -> ScenarioCounters:
        statuses = self._results.statuses
        return ScenarioCounters(
            strategy_registered=1,
            bars_seen=result.bars,
            deterministic_action_triggered=result.actions,
            orders_submitted=self._submitted,
            fills_count=self._results.fills,
            orders_denied=statuses.get("DENIED", 0),
            orders_rejected=statuses.get("REJECTED", 0),
            orders_canceled=statuses.get("CANCELED", 0),
        )

    def denial_reasons(self, result: EngineResult) -> dict[str, int]:
        """Reason to number of orders, those that the closed gate denied included."""
        return {**self.refused.denied.reasons, **result.gated}

    @property
    def unsent(self) -> UnsentOrders:
        return self._results.unsent

    @property
    def refused(self) -> RefusedOrders:
        return self._results.refused
