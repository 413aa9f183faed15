"""Death at every byte of a journal append, by the kernel: acknowledged events exist, the torn end is kept aside."""

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
from tests.breaking.forged import FixedClock
from tests.breaking.trial import Attempt, Trial

_TORN = b'{"seq":3,"time":"2024-01-01T00:00:00.000000Z","event":"run_comp'
_TORN_NAME = "journal-torn-at-{}.bin"


@dataclass(frozen=True, slots=True)
class Append:
    """Events being appended at the time of death; `torn_bytes`: the torn end that an earlier death left."""

    name: str
    events: tuple[tuple[tuple[str, dict[str, Any]], ...], ...]
    """One group for each call: a single event uses `append`, several use `append_many`."""
    torn_bytes: bytes = b""

    def work(self, folder: Path) -> Work:
        def append_all(acknowledge: Callable[[], None]) -> None:
            with Journal(folder, FixedClock()) as journal:
                for group in self.events:
                    if len(group) == 1:
                        journal.append(*group[0])
                        acknowledge()
                    else:
                        journal.append_many(group)

        return append_all

    def prepare(self, folder: Path) -> bytes:
        """Create a journal with two events; return its bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder, FixedClock()) as journal:
            journal.append("run_initialized", {"run_id": "r1"})
            journal.append("run_started", {"owner": None})
        with open(folder / "journal.jsonl", "ab") as stream:
            stream.write(self.torn_bytes)
        return journal_bytes(folder)


def _order(number: int) -> tuple[str, dict[str, Any]]:
    return "order_event", {"type": "OrderFilled", "client_order_id": f"O-{number}", "last_qty": "0.005"}


_END = ("run_completed", {"metrics": {"bars_seen": 30}})
_NON_ASCII = ("data_verified", {"dataset": "größer als ein Zeichen"})
APPENDS = (
    Append("single", ((_NON_ASCII,), (("engine_started", {}),), (_END,))),
    Append("batch", (tuple(_order(number) for number in range(5)), (_END,))),
    Append("long", ((("scenario_registered", {"text": "x" * 9_000}),), (_END,))),
    Append("torn-before", ((_NON_ASCII,), (_END,)), torn_bytes=_TORN),
)


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    """Every byte and step of every kind of append; with a count, that number of each, evenly spread."""
    for append in APPENDS:
        base = context.work / "journal-bytes" / f"of-{append.name}"
        before = append.prepare(base / "done")
        append.work(base / "done")(lambda: None)
        full = journal_bytes(base / "done")
        for position in evenly_spread(range(0 if append.torn_bytes else len(before), len(full) + 1), context.count):
            attempt = partial(_try_byte, append=append, position=position, full=full)
            yield Attempt(f"journal-bytes-{append.name}-{position}", attempt)
        append.prepare(base / "counted")
        steps = count_steps(append.work(base / "counted"))
        for step in evenly_spread(range(steps + 1), context.count):
            attempt = partial(_die_at_step, append=append, full=full, step=step)
            yield Attempt(f"journal-bytes-{append.name}-step-{step}", attempt)


def _try_byte(trial: Trial, append: Append, full: bytes, position: int) -> None:
    _die_at_byte(trial, append, full, position)
    _fail_at_byte(trial, append, full, position)


def _die_at_byte(trial: Trial, append: Append, full: bytes, position: int) -> None:
    folder = trial.folder / "dies"
    append.prepare(folder)
    code, acknowledged = dies_at_byte(append.work(folder), position)
    trial.observe("death at a byte", "by the kernel" if code == XFSZ else f"none, exit {code}")
    trial.claim(code == (XFSZ if position < len(full) else 0), f"ended with {code} at byte {position} of {len(full)}")
    if not append.torn_bytes:
        content = journal_bytes(folder)
        trial.claim(content == full[:position], f"the journal has {len(content)} bytes, not the first {position}")
    _claim_nothing_lost(trial, folder, append, full, acknowledged)
    _claim_next_writer(trial, folder)


def _die_at_step(trial: Trial, append: Append, full: bytes, step: int) -> None:
    folder = trial.folder / "dies"
    append.prepare(folder)
    code, acknowledged = dies_at_step(append.work(folder), step)
    trial.observe("death at a step", "killed" if code == KILLED else f"none, exit {code}")
    trial.claim(code in (KILLED, 0), f"ended with {code} at step {step}")
    _claim_nothing_lost(trial, folder, append, full, acknowledged)
    _claim_next_writer(trial, folder)


def _claim_nothing_lost(trial: Trial, folder: Path, append: Append, full: bytes, acknowledged: int) -> None:
    """The journal is a prefix of the full one, and contains every acknowledged event."""
    lines, expected_lines = whole_lines(journal_bytes(folder)), whole_lines(full)
    trial.claim(lines == expected_lines[: len(lines)], "the whole lines are not a prefix of the written ones")
    acknowledged_events = [group[0][0] for group in append.events if len(group) == 1][:acknowledged]
    events_written = [event["event"] for event in lifecycle(b"".join(lines))]
    trial.claim(
        [name for name in events_written if name in acknowledged_events] == acknowledged_events,
        f"acknowledged {acknowledged_events}, the journal has {events_written}",
    )
    if append.torn_bytes:
        torn_files = [path.read_bytes() for path in folder.glob("journal-torn-*.bin")]
        is_kept = torn_files == [append.torn_bytes] or journal_bytes(folder).endswith(b"\n" + append.torn_bytes)
        trial.claim(is_kept, f"the earlier torn end is neither in the journal nor kept aside: {torn_files}")
    sequence = [event.seq for event in read_events(folder)]
    trial.claim(
        sequence == list(range(1, len(lines) + 1)), f"a reader reads events {sequence} of {len(lines)} whole lines"
    )


def _claim_next_writer(trial: Trial, folder: Path) -> None:
    """The next writer, another process, keeps a torn end aside, records that, and the chain holds."""
    before = journal_bytes(folder)
    lines = b"".join(whole_lines(before))
    torn_bytes, position = before[len(lines) :], len(lines)

    def next_writer(acknowledge: Callable[[], None]) -> None:
        with Journal(folder, FixedClock()) as journal:
            journal.append("run_interrupted", {"ended_by": "owner_gone"})
        acknowledge()

    code, acknowledged = fails_at_byte(next_writer, 1 << 30)
    trial.claim((code, acknowledged) == (0, 1), f"the next writer ended with {code}")
    after = journal_bytes(folder)
    trial.claim(after.startswith(lines), "the next writer changed existing lines")
    for fault in chain_faults(after):
        trial.claim(False, fault)
    added = [event["event"] for event in lifecycle(after[len(lines) :])]
    trial.observe("torn end", "kept aside" if torn_bytes else "none")
    trial.claim(
        added == [*(["journal_torn_end_kept"] if torn_bytes else []), "run_interrupted"],
        f"the next writer wrote {added}",
    )
    if torn_bytes:
        torn_file = folder / _TORN_NAME.format(position)
        trial.claim(
            torn_file.is_file() and torn_file.read_bytes() == torn_bytes, f"{torn_file.name} does not have the torn end"
        )


def _fail_at_byte(trial: Trial, append: Append, full: bytes, position: int) -> None:
    """A failed write raises and leaves no trace; with free space the same journal continues."""
    folder = trial.folder / "fails"
    base = append.prepare(folder)

    def work(acknowledge: Callable[[], None]) -> None:
        with Journal(folder, FixedClock()) as journal:
            for group in append.events:
                try:
                    journal.append_many(group)
                    acknowledge()
                except Unwritable:
                    lift_limit()
                    journal.append_many(group)

    code, acknowledged = fails_at_byte(work, position)
    trial.observe("failed write", "raised, then repeated" if acknowledged < len(append.events) else "none")
    trial.claim(code == 0, f"ended with {code} after a write that failed at byte {position}")
    if append.torn_bytes:
        for fault in chain_faults(journal_bytes(folder)):
            trial.claim(False, fault)
    else:
        trial.claim(journal_bytes(folder) == full, f"the journal differs after a write that failed at byte {position}")
    trial.claim(
        journal_bytes(folder).startswith(base[: len(base) - len(append.torn_bytes)]), "older lines were changed"
    )
