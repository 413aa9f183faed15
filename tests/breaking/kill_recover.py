"""Death of `recover` itself, at every byte and every step: the next recover completes the work."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from opslab.context import Context
from opslab.errors import LabError
from opslab.lab.context import context_of
from opslab.lab.run.recover import recover
from opslab.lab.run.verify import verify
from opslab.model.primitives.ids import RunId
from opslab.settings import Settings
from tests.breaking.aftermath import FINAL, folder_entries
from tests.breaking.chain import ENDINGS, chain_faults, journal_bytes, lifecycle
from tests.breaking.context import RUN, ExperimentContext
from tests.breaking.deaths import KILLED, XFSZ, count_steps, dies_at_byte, dies_at_step, evenly_spread
from tests.breaking.forged import ROWS, check_torn, check_unsealed, copy_into, cut_off, finished, unseal
from tests.breaking.trial import Attempt, Trial
from tests.drivers.tc import Tc

_DEATHS: dict[str, Callable[[Path], None]] = {
    "died-running": cut_off,
    "died-unsealed": unseal,
    "check-unsealed": check_unsealed,
    "check-torn": check_torn,
}
"""States to recover."""


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    for name, kill in _DEATHS.items():
        base = context.work / "kill-recover" / f"of-{name}"
        dead = copy_into(Tc(base / "before"), finished(context))
        kill(dead)
        undisturbed = copy_into(Tc(base / "done"), dead)
        _recover(base / "done", lambda: None)
        for at in evenly_spread(_sizes(dead, undisturbed), context.count):
            yield Attempt(f"kill-recover-{name}-{at}", partial(_at_byte, dead=dead, at=at))
        copy_into(Tc(base / "counted"), dead)
        steps = count_steps(partial(_recover, base / "counted"))
        for step in evenly_spread(range(steps + 1), context.count):
            yield Attempt(f"kill-recover-{name}-step-{step}", partial(_at_step, dead=dead, step=step))


def _sizes(dead: Path, undisturbed: Path) -> list[int]:
    """Every size of a file between its state before and after the recover."""
    sizes: set[int] = set()
    for path in undisturbed.rglob("*"):
        before = dead / path.relative_to(undisturbed)
        if path.is_file() and not (before.is_file() and before.read_bytes() == path.read_bytes()):
            if path.name == "journal.jsonl":
                sizes.update(range(before.stat().st_size, path.stat().st_size + 1))
            elif not path.name.startswith("partial-"):  # renamed, not written
                sizes.update(range(path.stat().st_size + 1))
    return sorted(sizes)


def _recover(home: Path, _acknowledge: Callable[[], None]) -> None:
    recover(_context(home), RunId(RUN), None)


def _context(home: Path) -> Context:
    return context_of(Settings(home, "--home"))


def _at_byte(trial: Trial, dead: Path, at: int) -> None:
    copy_into(Tc(trial.folder), dead)
    code, _ = dies_at_byte(partial(_recover, trial.folder), at)
    trial.observe("death at a byte", "by the kernel" if code == XFSZ else f"none, exit {code}")
    trial.claim(code in (XFSZ, 0), f"recover ended with {code} at byte {at}")
    _claim_recovered(trial, dead)


def _at_step(trial: Trial, dead: Path, step: int) -> None:
    copy_into(Tc(trial.folder), dead)
    code, _ = dies_at_step(partial(_recover, trial.folder), step)
    trial.observe("death at a step", "killed" if code == KILLED else f"none, exit {code}")
    trial.claim(code in (KILLED, 0), f"recover ended with {code} at step {step}")
    _claim_recovered(trial, dead)


def _claim_recovered(trial: Trial, dead: Path) -> None:
    context, folder = _context(trial.folder), Tc(trial.folder).run_folder(RUN)
    try:
        action = recover(context, RunId(RUN), None).action
    except LabError as error:
        trial.claim(False, f"the next recover fails: {error.message}")
        return
    trial.observe("the next recover", action)
    verification = verify(context, RunId(RUN), lambda _size: None)
    trial.claim(verification.verdict == "whole", f"verify afterwards: {verification.verdict}, {verification.message}")
    trial.claim(verification.status in FINAL, f"its status is {verification.status}")
    for fault in chain_faults(journal_bytes(folder)):
        trial.claim(False, fault)
    endings = [event["event"] for event in lifecycle(journal_bytes(folder)) if event["event"] in ENDINGS]
    trial.claim(len(endings) == 1, f"the journal has {len(endings)} ends: {endings}")
    hidden = [name for name in folder_entries(folder) if Path(name).name.startswith(".")]
    trial.claim(not hidden, f"temporary files are left: {hidden}")
    _claim_rows_kept(trial, dead, folder)
    trial.claim(not list((context.layout.runtime / "live").glob("*")), "live values of a dead run are left over")


def _claim_rows_kept(trial: Trial, dead: Path, folder: Path) -> None:
    """Every whole row still exists, under a name that shows whether the rows are complete."""
    for name in ROWS:
        for written, settled in ((f".{name}.jsonl.tmp", f"partial-{name}.jsonl"), (f"{name}.jsonl", f"{name}.jsonl")):
            if (dead / written).exists():
                data = (dead / written).read_bytes()
                whole_rows = data[: data.rfind(b"\n") + 1]
                settled_rows = (folder / settled).read_bytes() if (folder / settled).exists() else b""
                trial.claim(settled_rows == whole_rows, f"{settled} has {len(settled_rows)} bytes of {len(whole_rows)}")
