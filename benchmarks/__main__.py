"""The command: measure, print a table or one JSON document. Exit 0 when it measured, whatever it found; 5 when not."""

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
    datasets,
    halt,
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
from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import Row, table_text

BENCHMARKS: dict[str, Callable[[Scene], list[Row]]] = {
    "help": startup.help_,
    "run-list": startup.run_list,
    "kill-activate": startup.kill_activate,
    "kill-status": startup.kill_status,
    "run-list-10k": registry.run_list_10k,
    "import": datasets.import_,
    "check": datasets.check,
    "fingerprint": datasets.fingerprint,
    "backtest": backtest.backtest,
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
"""In the order they run: `import` leaves the dataset that the next two read."""
ROWS = 5_000_000
COULD_NOT = 5
INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    asked = _arguments().parse_args(words)
    try:
        with ExitStack() as stack:
            parent = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opslab-")))
            work = parent.absolute() / "benchmarks-work"  # of our own: what stands in it is removed
            work.mkdir(parents=True, exist_ok=True)
            scene = Scene(asked.rows, asked.repeat, work, note)
            shutil.rmtree(scene.home, ignore_errors=True)  # the CSV may be old, what the lab made of it may not
            rows: list[Row] = []
            for name in asked.only or BENCHMARKS:
                note(f"measuring {name}")
                rows += BENCHMARKS[name](scene)
    except (CouldNotMeasure, OSError, ValueError, KeyError) as failure:
        known = isinstance(failure, (CouldNotMeasure, OSError))
        note(f"error: {failure if known else repr(failure)}")
        return COULD_NOT
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    if asked.json:
        print(
            json.dumps({"rows": asked.rows, "machine": machine(), "table": [row.document() for row in rows]}, indent=2)
        )
    else:
        print(table_text(rows))
    return 0


def machine() -> dict[str, object]:
    """What the figures depend on. `load`: runnable processes, last minute; far above 1, others were busy too."""
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the lab costs, as ratios.")
    parser.add_argument("--rows", type=_positive, default=ROWS, help=f"candles to measure with (default {ROWS:,})")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeat", type=_positive, metavar="K", help="measure each side K times (default: 2 to 9)")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keep the candles here (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
