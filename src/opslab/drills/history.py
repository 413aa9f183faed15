"""The history of a pass: the lines of its journal, reduced to the fields that drills need. Pure."""

from pydantic import JsonValue

from opslab.model.checks.drill import HistoryEvent
from opslab.model.journal.engine_events import PaperHeartbeat
from opslab.model.journal.journal_event import recorded
from opslab.model.journal.registry import EVENTS
from opslab.model.journal.run_events import ENDINGS, RunEnded, RunFailed, RunHalted, RunInterrupted
from opslab.model.messages.paper_messages import AccountState
from opslab.model.run.event import Event

__all__ = ["ENDINGS", "history_event"]

_KEPT: dict[str, tuple[str, ...]] = {
    "venue_started": ("start_number",),
    "venue_lost": ("start_number", "reason"),
    "ledger_write_failed": ("count",),
    "engine_started": ("version", "engine_number"),
    "engine_ended": ("engine_number",),
    "engine_lost": ("engine_number", "ended_by"),
    "engine_restarted": ("engine_number",),
    "feed_state_changed": ("feed", "from", "to", "noticed_after_seconds", "engine_number"),
    "socket_state_changed": ("socket", "from", "to", "noticed_after_seconds", "engine_number"),
    "gate_closed": ("reason", "engine_number"),
    "kill_switch_observed": ("state", "scope", "observed_by"),
    "trading_halted": ("by", "seconds_to_gate"),
    "orders_canceled": ("by", "reason", "open_orders", "seconds_to_no_orders", "seconds_to_flat"),
    "positions_flattened": ("by", "reason", "flat"),
    "fault_started": ("fault", "number", "terms"),
    "fault_ended": ("fault", "number", "reason"),
    "forced_close": ("kind",),
    "margin_call": ("number",),
    "reconciliation_checked": ("occasion", "state", "comparisons", "first_finding"),
    "run_stopping": ("reason", "on_stop"),
    "order_gated": ("call", "client_order_id"),
    "order_event": ("type", "client_order_id", "reconciliation", "reason"),
    "run_started": (),
    "bar_out_of_order": ("ts_event", "newest"),
}
"""Name to fields, of the events that are kept as they are."""
_PAPER_FACTS = {
    "restarts", "venue_losses", "bars_seen", "bars_missed", "final_reconciliation", "orders_lost", "orders_unknown",
    "orders_external", "fills_external", "orders_by_venue", "first_lost_order", "faults_injected",
}  # fmt: skip
_HALT_FACTS = {"flat", "flattened_by", "seconds_to_gate", "seconds_to_flat", "escalation", "orders_gated"}


def history_event(line: Event) -> HistoryEvent | None:
    """None: of no interest to a drill. Raises ValueError for a payload that this version cannot read."""
    payload: dict[str, JsonValue]
    if line.event in _KEPT:
        payload = {name: line.payload[name] for name in _KEPT[line.event] if name in line.payload}
    else:
        match recorded(line, EVENTS).event if line.event == PaperHeartbeat.EVENT or line.event in ENDINGS else None:
            case PaperHeartbeat() as heartbeat:
                payload = _heartbeat(heartbeat)
            case RunEnded() as end:
                payload = _ending(end)
            case _:
                return None
    return HistoryEvent(seq=line.seq, time=line.time, event=line.event, payload=payload)


def _heartbeat(event: PaperHeartbeat) -> dict[str, JsonValue]:
    beat, venue = event.heartbeat, event.venue
    account = venue.account if venue else None
    position = _position(account)
    return {
        "engine_number": event.engine_number,
        "bars": beat.bars,
        "feeds": {str(name): state for name, state in beat.feeds.items()},
        "sockets_connected": bool(beat.sockets) and all(state == "connected" for state in beat.sockets.values()),
        "gate_closed": beat.gate_closed,
        "orders_gated": beat.orders_gated,
        "orders_in_flight": sum(update.kind == "order" for update in beat.node.in_flight),
        "venue_answered": venue is not None,
        "position": position,
        "position_open": None if position is None else position.strip("-0.") != "",
        "open_orders": None if account is None else len(account.open_orders or ()),
        "node_position": _position(beat.node.account),
        "replay": venue.replay if venue else None,
    }


def _position(account: AccountState | None) -> str | None:
    """The signed quantity; one instrument is traded."""
    if account is None or account.positions is None:
        return None
    return next((position.signed_quantity for position in account.positions), "0")


def _ending(end: RunEnded) -> dict[str, JsonValue]:
    paper = end.paper.model_dump(mode="json", include=_PAPER_FACTS) if end.paper else dict.fromkeys(_PAPER_FACTS)
    halt = end.halt if isinstance(end, RunFailed | RunHalted | RunInterrupted) else None
    account = end.paper.final_account if end.paper else None
    failure = end.failure if isinstance(end, RunFailed) else None
    return {
        "ended_by": getattr(end, "ended_by", None),
        "failure": failure.model_dump(mode="json", include={"kind", "message"}) if failure else None,
        "paper": paper,
        "flat": account.flat if account else None,
        "halt": halt.model_dump(mode="json", include=_HALT_FACTS) if halt else None,
        "orders": end.orders.model_dump(mode="json") if end.orders else None,
    }
