"""Fields of a paper run in `tc run show`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opslab.model.run.halt_summary import HaltFacts
    from opslab.model.run.live_status import FeedStatus, LiveStatus, PaperStatus
    from opslab.model.run.paper_summary import EngineFacts, LedgerAccount, PaperFacts


def paper_fields(facts: "PaperFacts | None") -> list[tuple[str, str | None]]:
    """Names and values; None: unknown."""
    if facts is None:
        return []
    from opslab.lab.run.show import account_source, fault_rows

    account, stop = facts.final_account, facts.stop
    missed = f", {facts.bars_missed:,} missed" if facts.bars_missed is not None else ""
    seen = f"{facts.bars_seen:,}" if facts.bars_seen is not None else "unknown number"
    held = f"position {account.position}, {account.open_orders:,} open orders" if account else None
    last = facts.engines[-1] if facts.engines else None
    return [
        ("stop reason", stop.reason if stop else None),
        ("bars", f"{seen} of {facts.bars_expected:,}{missed}"),
        ("engines", f"{len(facts.engines):,}, {facts.restarts:,} restarts" if facts.engines else None),
        ("last engine", _end(last) if last else None),
        *([("venue", f"lost {facts.venue_losses:,} times")] if facts.venue_losses else []),
        ("ledger writes failed", f"{facts.failed_ledger_writes:,}" if facts.failed_ledger_writes else None),
        *(
            (f"feed {name}", _feed(feed.silent_seconds, feed.disconnected_seconds))
            for name, feed in facts.feeds.items()
        ),
        *((f"fault {name}", str(value)) for name, value in (fault_rows(facts) if facts.faults_injected else ())),
        ("forced closes", facts.forced_closes_text or None),
        ("margin calls", f"{facts.margin_calls:,}" if facts.margin_calls else None),
        (
            "external orders",
            f"{facts.orders_external:,}, {facts.fills_external or 0:,} fills (not placed by this run)"
            if facts.orders_external
            else None,
        ),
        ("final reconciliation", facts.final_reconciliation or "none"),
        ("final account", f"{'flat' if account.flat else held} ({account_source(account)})" if account else "unknown"),
    ]


def _end(engine: "EngineFacts") -> str:
    ended = {None: "end unknown", "stopped": "stopped on request"}.get(engine.ended_by, engine.ended_by)
    return f"{ended}{f': {engine.failure}' if engine.failure else ''}"


def halt_fields(halt: "HaltFacts | None") -> list[tuple[str, str | None]]:
    """Fields of a run that the kill switch stopped."""
    if halt is None:
        return []
    flat = f"by the {halt.flattened_by}" if halt.flattened_by else None
    return [
        ("gate closed", _after(halt.seconds_to_gate)),
        ("no open order", _after(halt.seconds_to_no_orders)),
        ("flat", _after(halt.seconds_to_flat)),
        ("flattened", flat),
        ("escalation", None if halt.escalation == "none" else halt.escalation),
    ]


def _after(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:,.1f} ms after the activation"


def _feed(silent_seconds: float, disconnected_seconds: float) -> str | None:
    """None for a feed that was always live."""
    if not silent_seconds and not disconnected_seconds:
        return None
    return f"silent {silent_seconds:.1f} s, disconnected {disconnected_seconds:.1f} s"


def live_fields(now: "PaperStatus | None") -> list[tuple[str, str | None]]:
    """Fields of a running paper run."""
    if now is None:
        return []
    lost = [name for name, state in now.sockets.items() if state != "connected"]
    held = f"{now.position_side} {now.position}, {now.open_orders:,} open orders" if now.position_side else None
    return [
        ("phase", f"{now.phase}{f', engine {now.engine_number}' if now.engine_number > 1 else ''}"),
        (
            "last heartbeat",
            f"{now.heartbeat_age_seconds:.1f} s ago" if now.heartbeat_age_seconds is not None else "none yet",
        ),
        *((f"feed {name}", _feed_now(feed)) for name, feed in now.feeds.items()),
        ("disconnected", ", ".join(lost) or None),
        ("ledger writes failed", f"{now.failed_ledger_writes:,}" if now.failed_ledger_writes else None),
        ("account now", f"{held} (reported by the venue)" if held else "unknown"),
    ]


def last_fields(live: "LiveStatus", by_ledger: "LedgerAccount | None") -> list[tuple[str, str | None]]:
    """Fields of a paper run whose owner is dead: as of its last heartbeat; the account by a ledger, if there is one."""
    last = live.paper
    if last is None:
        return []
    at = at_last_heartbeat(live)
    held = f"{last.position_side} {last.position}, {last.open_orders:,} open orders" if last.position_side else None
    return [
        ("phase", f"{last.phase}, {at}"),
        *((f"feed {name}", f"{feed.state}, {at}") for name, feed in last.feeds.items()),
        ("account", ledger_text(by_ledger) if by_ledger else f"{held}, {at}" if held else "unknown"),
    ]


def at_last_heartbeat(live: "LiveStatus") -> str:
    return f"at {live.heartbeat_at[11:19]}Z, last heartbeat"


def ledger_text(known: "LedgerAccount") -> str:
    held = "flat" if known.flat else f"position {known.position}, {known.open_orders:,} open orders"
    return f"{held} (by the venue's ledger, last change at {known.as_of})"


def _feed_now(feed: "FeedStatus") -> str:
    age = "no message yet" if feed.age_seconds is None else f"last message {feed.age_seconds:.1f} s ago"
    return f"{feed.state}, {age}"
