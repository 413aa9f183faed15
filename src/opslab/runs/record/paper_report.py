"""Report sections of a paper run. Unknown values are omitted."""

from typing import Any

from opslab.model.run.paper_summary import AccountFacts, PaperFacts

Rows = list[tuple[str, Any]]


def paper_sections(facts: PaperFacts) -> list[tuple[str, Rows]]:
    """Headings with rows of name and value."""
    return [
        ("How it ended", _ending(facts)),
        ("Bars", _bars(facts)),
        ("Engines", _engines(facts)),
        ("Feeds", _feeds(facts)),
        ("Reconciliations", [*facts.reconciliations.model_dump().items(), ("final", facts.final_reconciliation)]),
        (f"Account at the end, {source(facts.final_account)}", account_rows(facts)),
        ("Orders, beyond the counters", _orders(facts)),
        ("Latencies", list(facts.latencies.model_dump().items())),
    ]


def source(account: AccountFacts | None) -> str:
    """As text."""
    return "as the venue's ledger has it" if account and account.source == "ledger" else "as the venue said"


def account_rows(facts: PaperFacts) -> Rows:
    account = facts.final_account
    if account is None:
        return [("account", "not known: the venue could not be asked")]
    return [("open orders", account.open_orders), ("position", account.position), ("flat", yes_or_no(account.flat))]


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _ending(facts: PaperFacts) -> Rows:
    stop = facts.stop
    if stop is None:
        return [("why", "not known")]
    return [
        ("why", stop.reason),
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
    rows: Rows = [("restarts", facts.restarts)]
    for engine in facts.engines:
        why = engine.ended_by or "not known why"
        failure = f": {engine.failure}" if engine.failure else ""
        rows.append(
            (f"engine {engine.number}", f"{engine.started_at} to {engine.ended_at or 'not known'}, {why}{failure}")
        )
    return rows


def _feeds(facts: PaperFacts) -> Rows:
    rows: Rows = []
    for name, feed in facts.feeds.items():
        noticed = feed.noticed_after_seconds_max
        parts = [
            f"{feed.messages:,} messages",
            f"{feed.changes:,} changes of state",
            *([f"noticed after {noticed:.1f} s at most"] if noticed is not None else []),
            f"silent {feed.silent_seconds:.1f} s",
            f"disconnected {feed.disconnected_seconds:.1f} s",
        ]
        rows.append((name, ", ".join(parts)))
    return rows


def _orders(facts: PaperFacts) -> Rows:
    return [
        ("in the venue's ledger, and no engine told of them", facts.orders_unknown),
        ("submitted, and not in the venue's ledger", facts.orders_lost),
        ("made by the venue, to flatten", facts.orders_by_venue),
    ]
