"""The command: break, count, print a table or one JSON document. Exit 0 when every claim held, else 1."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.breaking.processes import adopt_orphans, end_everything_below
from tests.breaking.registry import EXPERIMENTS
from tests.breaking.scene import Scene
from tests.breaking.tally import Tally, text_of
from tests.breaking.trial import Outcome
from tests.breaking.workers import Bench, outcomes

INTERRUPTED = 130
_TELL_SECONDS = 5.0


def main(words: Sequence[str] | None = None) -> int:
    asked = _arguments().parse_args(words)
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell has it ignored by what it starts with `&`
        signal.signal(number, signal.default_int_handler)
    work = asked.relative_to / (asked.work or tempfile.mkdtemp(prefix="opslab-breaking-"))
    work.mkdir(parents=True, exist_ok=True)
    tallies: list[Tally] = []
    interrupted = False
    try:
        for name, count in asked.only or ((name, None) for name in EXPERIMENTS):
            tallies.append(Tally(name))
            _run(Scene(work, asked.seed, count or asked.count, asked.workers, asked.scale, note), tallies[-1])
    except KeyboardInterrupt:
        interrupted = True
        note("interrupted; what was counted so far:")
    finally:
        end_everything_below()
    if asked.json:
        document = {"seed": asked.seed, "experiments": [tally.document() for tally in tallies]}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(text_of(tallies))
    broken = any(tally.violations for tally in tallies)
    if broken:
        note(f"the folders of the violations are kept in {work}")
    elif not asked.work:
        shutil.rmtree(work, ignore_errors=True)
    return INTERRUPTED if interrupted else int(broken)


def _run(scene: Scene, tally: Tally) -> None:
    """One experiment: all its trials, told on the way."""
    experiment = EXPERIMENTS[tally.experiment]
    shutil.rmtree(scene.work / tally.experiment, ignore_errors=True)  # of an earlier call
    tally.skipped = experiment.missing(scene)
    try:
        attempts = list(experiment.attempts(scene))
    except Exception as error:  # noqa: BLE001  (the other experiments can still be run)
        broken = f"it could not be prepared: {type(error).__name__}: {error}"
        tally.violations.append(Outcome(tally.experiment, str(scene.work), 0.0, (), (broken,)))
        note(f"VIOLATION in {tally.experiment}: {broken}")
        return
    note(f"{tally.experiment}: {len(attempts):,} trials")
    began = told = time.monotonic()
    for outcome in outcomes(Bench(scene.work / tally.experiment, scene.seed), attempts, scene.workers):
        tally.add(outcome)
        tally.seconds = time.monotonic() - began
        for broken in outcome.broken:
            note(f"VIOLATION in {outcome.label}: {broken}")
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            left = tally.seconds / tally.trials * (len(attempts) - tally.trials)
            note(f"{tally.experiment}: {tally.trials:,} of {len(attempts):,}, {left:,.0f} s left")


def note(text: str) -> None:
    print(f"breaking: {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.breaking", description="Break runs on purpose; every claim about what is left must hold."
    )
    parser.add_argument(
        "--only", action="append", type=_only, metavar="NAME[=N]", help=f"with its own count: {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--count", type=_positive, metavar="N", help="trials of each (default: each one's full number)")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="work here, and keep the datasets for the next call"
    )
    parser.add_argument("--relative-to", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of every random choice (default 1)")
    parser.add_argument("--workers", type=_positive, default=2, metavar="N", help="trials at a time (default 2)")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="small: runs of a second")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _only(text: str) -> tuple[str, int | None]:
    """The name of an experiment, and its count if one is given."""
    name, given, count = text.partition("=")
    if name not in EXPERIMENTS:
        raise argparse.ArgumentTypeError(f"no experiment {name!r}, there are: {', '.join(EXPERIMENTS)}")
    return name, _positive(count) if given else None


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
