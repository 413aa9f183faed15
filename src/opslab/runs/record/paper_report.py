"""Report sections of a paper run. Unknown values are omitted."""

from typing import Any

from opslab.model.run.paper_summary import AccountFacts, PaperFacts

Rows = list[tuple[str, Any]]
"""Name and value; None: unknown."""


def paper_sections(facts: PaperFacts) -> list[tuple[str, Rows]]:
    """Headings with rows of name and value."""
    return [
        ("End", _ending(facts)),
        ("Bars", _bars(facts)),
        ("Engines", _engines(facts)),
        ("Feeds", _feeds(facts)),
        ("Reconciliations", [*facts.reconciliations.model_dump().items(), ("final", facts.final_reconciliation)]),
        (f"Final account, {account_source(facts.final_account)}", account_rows(facts)),
        ("Orders, beyond the counters", _orders(facts)),
        *([("Faults injected", fault_rows(facts))] if facts.faults_injected else []),
        ("Latencies", list(facts.latencies.model_dump().items())),
    ]


def account_source(account: AccountFacts | None) -> str:
    """The source of a final account, as text."""
    return "from the venue's ledger" if account and account.source == "ledger" else "confirmed by the venue"


def account_rows(facts: PaperFacts) -> Rows:
    account = facts.final_account
    if account is None:
        return [("account", "unknown: the venue did not answer")]
    return [("open orders", account.open_orders), ("position", account.position), ("flat", yes_or_no(account.flat))]


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _ending(facts: PaperFacts) -> Rows:
    stop = facts.stop
    if stop is None:
        return [("reason", "unknown")]
    return [
        ("reason", stop.reason),
        ("on stop", stop.on_stop),
        ("seconds to gate closed", stop.seconds_to_gate),
        ("seconds to flat", stop.seconds_to_flat),
    ]


def _bars(facts: PaperFacts) -> Rows:
    return [
        ("expected", facts.bars_expected),
        ("seen", facts.bars_seen),
        ("missed", facts.bars_missed),
        ("heartbeats", facts.heartbeats),
        ("heartbeats dropped", facts.dropped_heartbeats),
    ]


def _engines(facts: PaperFacts) -> Rows:
    rows: Rows = [
        ("restarts", facts.restarts),
        ("losses of the venue", facts.venue_losses),
        ("failed writes of the venue's ledger", facts.failed_ledger_writes),
    ]
    for engine in facts.engines:
        ended_by = engine.ended_by or "end unknown"
        failure = f": {engine.failure}" if engine.failure else ""
        rows.append(
            (f"engine {engine.number}", f"{engine.started_at} to {engine.ended_at or 'unknown'}, {ended_by}{failure}")
        )
    return rows


def fault_rows(facts: PaperFacts) -> Rows:
    """The number of faults, then each of them."""
    rows: Rows = [("number", facts.faults_injected)]
    for fault in facts.faults:
        terms = " ".join(f"{name}={value}" for name, value in fault.terms.items() if value is not None)
        end = f"to {fault.ended_at}, {fault.ended_by}" if fault.ended_at else "end unknown"
        rows.append((fault.name, f"{fault.started_at} {end}{f' ({terms})' if terms else ''}"))
    if len(facts.faults) < facts.faults_injected:
        rows.append(("not listed", facts.faults_injected - len(facts.faults)))
    return rows


def _feeds(facts: PaperFacts) -> Rows:
    rows: Rows = []
    for name, feed in facts.feeds.items():
        noticed = feed.noticed_after_seconds_max
        parts = [
            f"{feed.messages:,} messages",
            f"{feed.changes:,} state changes",
            *([f"noticed after {noticed:.1f} s at most"] if noticed is not None else []),
            f"silent {feed.silent_seconds:.1f} s",
            f"disconnected {feed.disconnected_seconds:.1f} s",
        ]
        rows.append((name, ", ".join(parts)))
    return rows


def _orders(facts: PaperFacts) -> Rows:
    return [
        ("in the venue's ledger, not reported by an engine", facts.orders_unknown),
        ("submitted, not in the venue's ledger", facts.orders_lost),
        ("created by the venue to flatten", facts.orders_by_venue),
        ("external: not placed by this run", facts.orders_external),
        ("fills of external orders", facts.fills_external),
        ("forced closes by the exchange", facts.forced_closes_text or 0),
        ("margin calls by the exchange", facts.margin_calls),
    ]
