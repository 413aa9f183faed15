"""A lab that is broken in one place, as the run of a drill: `python -P broken_labs.py NAME` in place of
`opslab.children.drill_run`.

Each one is a patch of control or of the engine's process, made when that process starts: the product has no switch for
it. With each, one drill must fail.
"""

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

CONTROL, ENGINE = "opslab.children.drill_run", "opslab.children.engine"


@dataclass(frozen=True, slots=True)
class BrokenLab:
    what: str
    process: Literal["control", "engine"]
    patch: Callable[[], None]


def _patch(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """wrap: makes the broken one of the original."""
    setattr(owner, name, wrap(getattr(owner, name)))


def _feed_guard_off(feed: str) -> None:
    from opslab.nautilus.live.monitor import Monitor

    def without_limit(init: Any) -> Any:
        def broken(self: Monitor, plan: Any, *values: Any) -> None:
            limits = {**plan.silent_after_seconds, feed: float("inf")}
            init(self, plan.model_copy(update={"silent_after_seconds": limits}), *values)

        return broken

    _patch(Monitor, "__init__", without_limit)


def _comparison_blind() -> None:
    from opslab.reconciliation.tracker import ComparisonResult, Tracker

    def blind(compare: Any) -> Any:
        def broken(self: Tracker, *values: Any) -> ComparisonResult:
            result: ComparisonResult = compare(self, *values)
            equal = {"state": "ok", "reason": "equal"}
            findings = [finding.model_copy(update=equal) for finding in result.findings]
            return replace(result, findings=findings, is_open=False)

        return broken

    _patch(Tracker, "compare", blind)


def _restart_without_claiming() -> None:
    """The node has the orders and the position, and its strategy has not."""
    from opslab.nautilus.live import node

    _patch(node, "_claim_external_orders", lambda _original: lambda _strategy, _instrument: False)


def _lost_sockets_unreported() -> None:
    from opslab.nautilus.live.monitor import Monitor

    def connected_only(socket: Any) -> Any:
        def broken(self: Monitor, endpoint: str, is_up: bool, ago_ns: int) -> None:
            if is_up:
                socket(self, endpoint, is_up, ago_ns)

        return broken

    _patch(Monitor, "socket", connected_only)


def _orders_not_queried() -> None:
    from opslab.nautilus.live import node

    off = {"inflight_check_interval_ms": 0, "open_check_interval_secs": None}
    _patch(node, "LiveExecutionEngineConfig", lambda config: lambda **fields: config(**{**fields, **off}))


def _in_flight_unreported() -> None:
    from opslab.nautilus.strategy.inflight_orders import InFlightOrders

    _patch(InFlightOrders, "updates", lambda _original: lambda _self, _now: ())


def _halt_trusts_the_node() -> None:
    """Orders were sent once, so the account counts as flat."""
    from opslab.model.messages.paper_messages import Flattened
    from opslab.nautilus.live.halt_flatten import HaltFlattener
    from opslab.nautilus.live.rest_flatten import RestFlattener

    def send_once(_original: Any) -> Any:
        def broken(self: HaltFlattener, now: float) -> Flattened:
            self._close()
            return Flattened(flat=True, rounds=1, seconds=round(now - self._started_at, 6))

        return broken

    _patch(HaltFlattener, "step", send_once)
    _patch(RestFlattener, "start", lambda _original: lambda _self: None)
    _patch(RestFlattener, "finish", lambda _original: lambda self: self.result(flat=True))


def _gate_opens_again() -> None:
    """The halt closes the gate, and the next bar opens it."""
    from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

    def opening(wrap_bar_handler: Any) -> Any:
        def broken(self: LiveStrategyRecorder, strategy: Any, handler: Any) -> Any:
            def on_bar(bar: Any) -> None:
                self.stop_requested = False
                handler(bar)

            return wrap_bar_handler(self, strategy, on_bar)

        return broken

    _patch(LiveStrategyRecorder, "wrap_bar_handler", opening)


def _hang_watch_off() -> None:
    from opslab.runs.paper import engine_supervisor

    def without_limit(complaint: Any) -> Any:
        return lambda observed, bounds, now_s: complaint(
            observed, replace(bounds, hang_after_seconds=float("inf")), now_s
        )

    _patch(engine_supervisor, "complaint", without_limit)


BROKEN_LABS: dict[str, BrokenLab] = {
    "bars-guard-off": BrokenLab("silent candles are not noticed", "engine", partial(_feed_guard_off, "bars")),
    "quotes-guard-off": BrokenLab("silent quotes are not noticed", "engine", partial(_feed_guard_off, "quotes")),
    "comparison-blind": BrokenLab("each reconciliation is `ok`", "control", _comparison_blind),
    "restart-without-claiming": BrokenLab("no strategy has what was open", "engine", _restart_without_claiming),
    "lost-sockets-unreported": BrokenLab("a lost connection is not noticed", "engine", _lost_sockets_unreported),
    "orders-not-queried": BrokenLab("the venue is not asked for orders", "engine", _orders_not_queried),
    "in-flight-unreported": BrokenLab("orders in flight are not reported", "engine", _in_flight_unreported),
    "halt-trusts-node": BrokenLab("orders that were sent count as done", "engine", _halt_trusts_the_node),
    "gate-opens-again": BrokenLab("the strategy trades after a halt", "engine", _gate_opens_again),
    "hang-watch-off": BrokenLab("an engine may stand still for ever", "control", _hang_watch_off),
}


def main(name: str, module: str, arguments: list[str]) -> None:
    lab = BROKEN_LABS[name]
    if module == CONTROL:
        from opslab.runs.processes import child_process

        if lab.process == "engine":  # before others import it by name
            command = (sys.executable, "-P", __file__, name, ENGINE)
            _patch(child_process, "ENGINE_COMMAND", lambda _original: command)
    if (module == CONTROL) == (lab.process == "control"):
        lab.patch()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], (sys.argv[2:] or [CONTROL])[0], sys.argv[3:])
