"""Programs, data and parameters of a benchmark."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import MeasurementError, Sample, run

DATASET = "bench-candles"
_CSV_VERSION = "v1"
"""Part of the cached file's name: raise it when make_candles changes its candles."""
SPEC_HEAD = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
"""
_SPEC = f"""\
{SPEC_HEAD}strategy:
  name: ops_smoke_demo
  version: v1
data:
  dataset: {{dataset}}
"""


@dataclass(frozen=True, slots=True)
class BenchmarkContext:
    """`rows`: candles. `repeat`: measurements of each side; None: default of the benchmark. `work`: absolute folder."""

    rows: int
    repeat: int | None
    work: Path
    note: Callable[[str], None]

    @property
    def home(self) -> Path:
        """Home of the lab that contains DATASET after its import."""
        return self.work / "home"

    @property
    def python(self) -> Path:
        return Path(sys.executable)

    @property
    def tc(self) -> Path:
        """The console script in the folder of this Python."""
        return self.python.parent / "tc"

    def program(self, name: str) -> Path:
        return Path(__file__).parent / "programs" / f"{name}.py"

    def csv(self) -> Path:
        """The candles as CSV; created once in a work folder."""
        path = self.work / f"candles-{_CSV_VERSION}-{self.rows}.csv"
        if not path.exists():
            self.note(f"making {self.rows:,} candles")
            unfinished = path.with_suffix(".tmp")
            run([self.python, self.program("make_candles"), unfinished, str(self.rows)], self.work)
            unfinished.rename(path)
        return path

    def import_candles(self) -> Sample:
        """Import the candles into an empty home."""
        shutil.rmtree(self.home, ignore_errors=True)
        return run([self.tc, "data", "import", self.csv(), "--dataset", DATASET, "--home", self.home], self.work)

    def dataset(self) -> Path:
        """The folder of the imported candles."""
        folder = self.home / "data" / "datasets" / DATASET
        if not folder.exists():
            self.note("importing the candles")
            self.import_candles()
        return folder

    def bars(self) -> Path:
        """The folder of the single bar type of the imported candles."""
        parsed = list((self.dataset() / "data" / "bars").iterdir())
        if len(parsed) != 1:
            raise MeasurementError(f"the dataset has {len(parsed)} bar types")
        return parsed[0]

    def spec(self, dataset: str) -> Path:
        path = self.work / f"{dataset}.yaml"
        path.write_text(_SPEC.format(dataset=dataset))
        return path


def document(sample: Sample) -> dict[str, Any]:
    """Output of a program with `--json`, parsed."""
    parsed = json.loads(sample.output)
    assert isinstance(parsed, dict)
    return parsed
