"""Command line: measure, print a table or one JSON document. Exit 0 after a measurement with any result, else 5."""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    backtest,
    backtest_orders,
    datasets,
    halt,
    metrics,
    paper_day,
    paper_idle,
    paper_messages,
    paper_orders,
    paper_restart,
    paper_start,
    paper_stop,
    proof,
    registry,
    startup,
    venue_feed,
    venue_memory,
    venue_orders,
    venue_start,
)
from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError
from benchmarks.table import Row, table_text

BENCHMARKS: dict[str, Callable[[BenchmarkContext], list[Row]]] = {
    "help": startup.help_,
    "run-list": startup.run_list,
    "kill-activate": startup.kill_activate,
    "kill-status": startup.kill_status,
    "run-list-10k": registry.run_list_10k,
    "metrics": metrics.metrics,
    "import": datasets.import_,
    "check": datasets.check,
    "fingerprint": datasets.fingerprint,
    "backtest": backtest.backtest,
    "backtest-orders": backtest_orders.orders,
    "verify": proof.verify,
    "journal": proof.journal,
    "venue-messages": venue_feed.messages,
    "venue-messages-plain": venue_feed.messages_plain,
    "venue-orders-socket": venue_orders.by_socket,
    "venue-orders-http": venue_orders.by_http,
    "venue-memory": venue_memory.memory,
    "venue-start": venue_start.start,
    "paper-start": paper_start.start,
    "paper-orders": paper_orders.orders,
    "paper-messages": paper_messages.messages,
    "paper-stop": paper_stop.stop,
    "paper-restart": paper_restart.restart,
    "paper-idle": paper_idle.idle,
    "paper-day": paper_day.day,
    "halt": halt.halt,
}
"""In the order in which they run: `import` creates the dataset that the next two read."""
ROWS = 5_000_000
MEASUREMENT_FAILED = 5
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments().parse_args(arguments)
    try:
        with ExitStack() as stack:
            parent = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opslab-")))
            work = parent.absolute() / "benchmarks-work"  # a folder of its own: its content is removed
            work.mkdir(parents=True, exist_ok=True)
            context = BenchmarkContext(options.rows, options.repeat, work, note)
            shutil.rmtree(context.home, ignore_errors=True)  # the CSV may be reused, the lab's files may not
            rows: list[Row] = []
            for name in options.only or BENCHMARKS:
                note(f"measuring {name}")
                rows += BENCHMARKS[name](context)
    except (MeasurementError, OSError, ValueError, KeyError) as failure:
        is_expected = isinstance(failure, (MeasurementError, OSError))
        note(f"error: {failure if is_expected else repr(failure)}")
        return MEASUREMENT_FAILED
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    if options.json:
        print(
            json.dumps(
                {"rows": options.rows, "machine": machine(), "table": [row.document() for row in rows]}, indent=2
            )
        )
    else:
        print(table_text(rows))
    return 0


def machine() -> dict[str, object]:
    """Environment of the figures. `load`: runnable processes of the last minute; far above 1, the machine was busy."""
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("nautilus-trader", "pyarrow", "typer", "pydantic")},
    }


def note(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the cost of the lab, as ratios to yardsticks."
    )
    parser.add_argument("--rows", type=_positive, default=ROWS, help=f"number of candles (default {ROWS:,})")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeat", type=_positive, metavar="K", help="measurements of each side (default: 2 to 9)")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder that keeps the candles (default: a temporary one)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
