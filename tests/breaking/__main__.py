"""Command line: run the experiments, print a table or one JSON document. Exit 0 if every claim holds, else 1."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.breaking.context import ExperimentContext
from tests.breaking.registry import EXPERIMENTS
from tests.breaking.summary import ExperimentSummary, summary_text
from tests.breaking.trial import TrialResult
from tests.breaking.workers import TrialFactory, run_trials
from tests.drivers.processes import adopt_orphans, kill_descendants
from tests.drivers.tc import forks_of_tc

INTERRUPTED = 130
_REPORT_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments().parse_args(arguments)
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a process started with `&` ignores it
        signal.signal(number, signal.default_int_handler)
    work = options.relative_to / (options.work or tempfile.mkdtemp(prefix="opslab-breaking-"))
    work.mkdir(parents=True, exist_ok=True)
    summaries: list[ExperimentSummary] = []
    interrupted = False
    forks = forks_of_tc(at_once=True) if options.forks else nullcontext()
    try:
        with forks:
            for name, count in options.only or ((name, None) for name in EXPERIMENTS):
                summaries.append(ExperimentSummary(name))
                _run(
                    ExperimentContext(work, options.seed, count or options.count, options.workers, options.scale, note),
                    summaries[-1],
                )
    except KeyboardInterrupt:
        interrupted = True
        note("interrupted; counts so far:")
    finally:
        kill_descendants()
    if options.json:
        document = {"seed": options.seed, "experiments": [summary.document() for summary in summaries]}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(summary_text(summaries))
    has_failed = any(summary.failed_trials for summary in summaries)
    if has_failed:
        note(f"the folders of the violations are kept in {work}")
    elif not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return INTERRUPTED if interrupted else int(has_failed)


def _run(context: ExperimentContext, summary: ExperimentSummary) -> None:
    """Run all trials of one experiment and report progress."""
    experiment = EXPERIMENTS[summary.experiment]
    shutil.rmtree(context.work / summary.experiment, ignore_errors=True)  # of an earlier call
    summary.skipped = experiment.skipped_reasons(context)
    try:
        attempts = list(experiment.attempts(context))
    except Exception as error:  # noqa: BLE001  (the other experiments can still be run)
        message = f"preparation failed: {type(error).__name__}: {error}"
        summary.failed_trials.append(TrialResult(summary.experiment, str(context.work), 0.0, (), (message,)))
        note(f"VIOLATION in {summary.experiment}: {message}")
        return
    note(f"{summary.experiment}: {len(attempts):,} trials")
    started_s = reported_s = time.monotonic()
    factory = TrialFactory(context.work / summary.experiment, context.seed)
    try:
        for result in run_trials(factory, attempts, context.workers):
            summary.add(result)
            summary.seconds = time.monotonic() - started_s
            for message in result.violations:
                note(f"VIOLATION in {result.label}: {message}")
            if time.monotonic() - reported_s > _REPORT_SECONDS:
                reported_s = time.monotonic()
                remaining_s = summary.seconds / summary.trials * (len(attempts) - summary.trials)
                note(f"{summary.experiment}: {summary.trials:,} of {len(attempts):,}, {remaining_s:,.0f} s remaining")
    finally:
        summary.measured = dict(experiment.measured(context))


def note(text: str) -> None:
    print(f"breaking: {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.breaking", description="Inject failures into runs and check every claim about the result."
    )
    parser.add_argument(
        "--only",
        action="append",
        type=_only,
        metavar="NAME[=N]",
        help=f"an experiment, optionally with its own count: {', '.join(EXPERIMENTS)}",
    )
    parser.add_argument(
        "--count", type=_positive, metavar="N", help="trials of each experiment (default: its full number)"
    )
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="work folder; its datasets are kept for the next call"
    )
    parser.add_argument("--relative-to", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of every random choice (default 1)")
    parser.add_argument("--workers", type=_positive, default=2, metavar="N", help="parallel trials (default 2)")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="small: runs of one second")
    parser.add_argument("--forks", action="store_true", help="commands that inspect a run come from a fork server")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _only(text: str) -> tuple[str, int | None]:
    """Name of an experiment, and its count if given."""
    name, given, count = text.partition("=")
    if name not in EXPERIMENTS:
        raise argparse.ArgumentTypeError(f"unknown experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    return name, _positive(count) if given else None


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
