"""Small runs for many trials: one real run, and the files that a death at other times would have left of it."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from opslab.model.checks.check_kind import PROBE
from opslab.model.primitives.canonical import digest_bytes
from opslab.store.files import json_bytes, write_whole
from opslab.store.runs.journal import Journal
from tests.breaking.chain import chained, journal_bytes, whole_lines
from tests.breaking.context import ORDERS_TINY, RUN, ExperimentContext, RunKind
from tests.drivers.tc import Tc

ROWS = ("orders", "fills", "positions")
_MADE_AT_THE_END = ("manifest*", "report.*", "metrics.json")


class FixedClock:
    """A clock with a fixed time, so that two processes write the same bytes."""

    def now_ns(self) -> int:
        return 1_704_067_200_000_000_000

    def monotonic_s(self) -> float:
        return 0.0


@cache
def finished(context: ExperimentContext, kind: RunKind = ORDERS_TINY, run_id: str = RUN) -> Path:
    """Folder of a completed, sealed run. Copy it; do not change it."""
    context.prepare_dataset(kind.dataset)
    home = context.work / "finished" / f"{kind.title}-{run_id}"
    shutil.rmtree(home, ignore_errors=True)
    tc = context.home_in(home)
    tc.ok("run", "backtest", "--spec", kind.spec(home), "--run-id", run_id)
    return tc.run_folder(run_id)


def copy_into(tc: Tc, run: Path, run_id: str = RUN) -> Path:
    """Copy a run's folder into a home; return the copy."""
    target = tc.run_folder(run_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(run, target, symlinks=True)
    return target


def unseal(folder: Path) -> None:
    """Make the state of a run whose owner died between the end and the seal."""
    for pattern in ("manifest*", "report.*"):
        for path in folder.glob(pattern):
            path.unlink()


def cut_off(folder: Path, share: float = 0.6, torn_bytes: int = 40) -> None:
    """Make the state of a run whose owner died in the middle: rows half written, journal torn, metadata missing.

    share: share of the journal's lines that were written.
    """
    for pattern in _MADE_AT_THE_END:
        for path in folder.glob(pattern):
            path.unlink()
    for name in ROWS:
        rows = (folder / f"{name}.jsonl").read_bytes()
        (folder / f".{name}.jsonl.tmp").write_bytes(rows[: int(len(rows) * share)])
        (folder / f"{name}.jsonl").unlink()
    lines = whole_lines(journal_bytes(folder))
    kept_lines = lines[: max(3, int(len(lines) * share))]
    (folder / "journal.jsonl").write_bytes(b"".join(kept_lines) + lines[len(kept_lines)][:torn_bytes])
    (folder / "metadata.json").unlink()
    (folder / ".metadata.json.4194304.tmp").write_bytes(b'{"metadata_version"')


def check_unsealed(folder: Path, torn_bytes: int = 0) -> None:
    """Make the state of a sealed run whose check died before it could seal.

    torn_bytes: number of missing bytes at the end of the check's event.
    """
    document = json_bytes({"version": 1, "state": "probe_ok"})
    write_whole(folder / PROBE.numbered(1), document)
    with Journal(folder, FixedClock()) as journal:
        reference = {"artifact": PROBE.numbered(1), "digest": digest_bytes(document)}
        journal.append(PROBE.event, {"state": "probe_ok", **reference})
    if torn_bytes:
        (folder / "journal.jsonl").write_bytes(journal_bytes(folder)[:-torn_bytes])


def check_torn(folder: Path) -> None:
    check_unsealed(folder, torn_bytes=40)


def rewrite_journal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change events as a forger would, with a valid chain."""
    events = [json.loads(line) for line in whole_lines(journal_bytes(folder))]
    for event in events:
        change(event)
    (folder / "journal.jsonl").write_bytes(chained(events))
