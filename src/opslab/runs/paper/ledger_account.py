"""The account of a paper run, computed from its venue's ledger alone."""

from pathlib import Path

from opslab.errors import Corrupt
from opslab.model.primitives.ids import RunId
from opslab.model.run.paper_summary import AccountFacts, LedgerAccount
from opslab.runs.paper.results import ledger_events
from opslab.runs.processes.venue_folder import run_venue_folder
from opslab.store.layout import Layout
from opslab.store.venues.ledger import NAME as LEDGER
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER
from opslab.venue.account.account import Account


def account_from_ledger(folder: Path) -> AccountFacts | None:
    """folder: of the ledger. None without one. Raises Corrupt."""
    if not (folder / LEDGER).is_file():
        return None
    account = Account.replay(ledger_events(folder))
    position = account.holding.position
    return AccountFacts(
        open_orders=len(account.open),
        position=f"{position:f}",
        flat=not account.open and not position,
        source="ledger",
    )


def last_known_account(layout: Layout, run_id: RunId) -> LedgerAccount | None:
    """The account of a run whose owner is dead. Its venue may still run. None without a readable ledger."""
    try:
        folder = run_venue_folder(layout, run_id) or layout.run(run_id) / VENUE_FOLDER
        account = account_from_ledger(folder)
        times = [entry.time for entry in read_ledger(folder)] if account else []
    except Corrupt:
        return None
    return LedgerAccount(**account.model_dump(), as_of=times[-1]) if account and times else None
