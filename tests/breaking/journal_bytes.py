"""Death at every byte of a journal append, by the kernel: what was told is there, the torn end is kept aside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from opslab.errors import Unwritable
from opslab.store.runs.journal import Journal, read_events
from tests.breaking.chain import chain_faults, journal_bytes, lifecycle, whole_lines
from tests.breaking.context import ExperimentContext
from tests.breaking.deaths import (
    KILLED,
    XFSZ,
    Work,
    count_steps,
    dies_at_byte,
    dies_at_step,
    evenly_spread,
    fails_at_byte,
    lift_limit,
)
from tests.breaking.forged import StillClock
from tests.breaking.trial import Attempt, Trial

_TORN = b'{"seq":3,"time":"2024-01-01T00:00:00.000000Z","event":"run_comp'
_TORN_NAME = "journal-torn-at-{}.bin"


@dataclass(frozen=True, slots=True)
class Append:
    """What is being appended when death comes; `torn` if somebody else died there before."""

    name: str
    events: tuple[tuple[tuple[str, dict[str, Any]], ...], ...]
    """One group for each call: a single event goes to `append`, several to `append_many`."""
    torn: bytes = b""

    def work(self, folder: Path) -> Work:
        def do(acknowledge: Callable[[], None]) -> None:
            with Journal(folder, StillClock()) as journal:
                for group in self.events:
                    if len(group) == 1:
                        journal.append(*group[0])
                        acknowledge()
                    else:
                        journal.append_many(group)

        return do

    def prepare(self, folder: Path) -> bytes:
        """A journal with something in it; its bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder, StillClock()) as journal:
            journal.append("run_initialized", {"run_id": "r1"})
            journal.append("run_started", {"owner": None})
        with open(folder / "journal.jsonl", "ab") as stream:
            stream.write(self.torn)
        return journal_bytes(folder)


def _order(number: int) -> tuple[str, dict[str, Any]]:
    return "order_event", {"type": "OrderFilled", "client_order_id": f"O-{number}", "last_qty": "0.005"}


_END = ("run_completed", {"metrics": {"bars_seen": 30}})
_WARNED = ("data_verified", {"dataset": "größer als ein Zeichen"})
APPENDS = (
    Append("single", ((_WARNED,), (("engine_started", {}),), (_END,))),
    Append("batch", (tuple(_order(number) for number in range(5)), (_END,))),
    Append("long", ((("scenario_registered", {"text": "x" * 9_000}),), (_END,))),
    Append("torn-before", ((_WARNED,), (_END,)), torn=_TORN),
)


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    """Every byte and step of every kind of append; with a count, so many of each, evenly spread."""
    for append in APPENDS:
        base = context.work / "journal-bytes" / f"of-{append.name}"
        before = append.prepare(base / "done")
        append.work(base / "done")(lambda: None)
        full = journal_bytes(base / "done")
        for at in evenly_spread(range(0 if append.torn else len(before), len(full) + 1), context.count):
            attempt = partial(_at_byte, append=append, at=at, full=full)
            yield Attempt(f"journal-bytes-{append.name}-{at}", attempt)
        append.prepare(base / "counted")
        steps = count_steps(append.work(base / "counted"))
        for step in evenly_spread(range(steps + 1), context.count):
            attempt = partial(_die_at_step, append=append, full=full, step=step)
            yield Attempt(f"journal-bytes-{append.name}-step-{step}", attempt)


def _at_byte(trial: Trial, append: Append, full: bytes, at: int) -> None:
    _die(trial, append, full, at)
    _fail(trial, append, full, at)


def _die(trial: Trial, append: Append, full: bytes, at: int) -> None:
    folder = trial.folder / "dies"
    append.prepare(folder)
    code, acknowledged = dies_at_byte(append.work(folder), at)
    trial.observe("death at a byte", "by the kernel" if code == XFSZ else f"none, exit {code}")
    trial.claim(code == (XFSZ if at < len(full) else 0), f"ended with {code} at byte {at} of {len(full)}")
    if not append.torn:
        found = journal_bytes(folder)
        trial.claim(found == full[:at], f"the journal holds {len(found)} bytes, and not the first {at}")
    _claim_nothing_lost(trial, folder, append, full, acknowledged)
    _claim_goes_on(trial, folder)


def _die_at_step(trial: Trial, append: Append, full: bytes, step: int) -> None:
    folder = trial.folder / "dies"
    append.prepare(folder)
    code, acknowledged = dies_at_step(append.work(folder), step)
    trial.observe("death at a step", "killed" if code == KILLED else f"none, exit {code}")
    trial.claim(code in (KILLED, 0), f"ended with {code} at step {step}")
    _claim_nothing_lost(trial, folder, append, full, acknowledged)
    _claim_goes_on(trial, folder)


def _claim_nothing_lost(trial: Trial, folder: Path, append: Append, full: bytes, acknowledged: int) -> None:
    """What is there is what was to be there, up to some point, and no less than what was promised."""
    lines, expected_lines = whole_lines(journal_bytes(folder)), whole_lines(full)
    trial.claim(lines == expected_lines[: len(lines)], "the whole lines are not the first of those that were written")
    promised = [group[0][0] for group in append.events if len(group) == 1][:acknowledged]
    events_written = [event["event"] for event in lifecycle(b"".join(lines))]
    trial.claim([name for name in events_written if name in promised] == promised, f"told of {promised}, the journal has {events_written}")
    if append.torn:
        kept = [path.read_bytes() for path in folder.glob("journal-torn-*.bin")]
        is_kept = kept == [append.torn] or journal_bytes(folder).endswith(b"\n" + append.torn)
        trial.claim(is_kept, f"the end that was torn before is neither in the journal nor kept aside: {kept}")
    read = [event.seq for event in read_events(folder)]
    trial.claim(read == list(range(1, len(lines) + 1)), f"a reader sees events {read} of {len(lines)} whole lines")


def _claim_goes_on(trial: Trial, folder: Path) -> None:
    """The next writer, a process of its own, keeps a torn end aside, says so, and the chain holds."""
    before = journal_bytes(folder)
    lines = b"".join(whole_lines(before))
    torn, at = before[len(lines) :], len(lines)

    def next_writer(acknowledge: Callable[[], None]) -> None:
        with Journal(folder, StillClock()) as journal:
            journal.append("run_interrupted", {"ended_by": "owner_gone"})
        acknowledge()

    code, acknowledged = fails_at_byte(next_writer, 1 << 30)
    trial.claim((code, acknowledged) == (0, 1), f"the next writer ended with {code}")
    after = journal_bytes(folder)
    trial.claim(after.startswith(lines), "the next writer changed lines that stood there")
    for fault in chain_faults(after):
        trial.claim(False, fault)
    added = [event["event"] for event in lifecycle(after[len(lines) :])]
    trial.observe("torn end", "kept aside" if torn else "none")
    trial.claim(
        added == [*(["journal_torn_end_kept"] if torn else []), "run_interrupted"], f"the next writer told {added}"
    )
    if torn:
        kept = folder / _TORN_NAME.format(at)
        trial.claim(kept.is_file() and kept.read_bytes() == torn, f"{kept.name} does not hold the torn end")


def _fail(trial: Trial, append: Append, full: bytes, at: int) -> None:
    """A write that fails is told to the caller and leaves no trace; with room again the same journal goes on."""
    folder = trial.folder / "fails"
    base = append.prepare(folder)

    def work(acknowledge: Callable[[], None]) -> None:
        with Journal(folder, StillClock()) as journal:
            for group in append.events:
                try:
                    journal.append_many(group)
                    acknowledge()
                except Unwritable:
                    lift_limit()
                    journal.append_many(group)

    code, acknowledged = fails_at_byte(work, at)
    trial.observe("failed write", "told, then repeated" if acknowledged < len(append.events) else "none")
    trial.claim(code == 0, f"ended with {code} after a write that failed at byte {at}")
    if append.torn:
        for fault in chain_faults(journal_bytes(folder)):
            trial.claim(False, fault)
    else:
        trial.claim(journal_bytes(folder) == full, f"the journal differs after a write that failed at byte {at}")
    trial.claim(journal_bytes(folder).startswith(base[: len(base) - len(append.torn)]), "older lines were changed")
