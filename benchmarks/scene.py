"""Where a benchmark finds its programs and its data."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import CouldNotMeasure, Sample, run

DATASET = "bench-candles"
_CSV_VERSION = "v1"
"""Part of the cached file's name: to be raised when make_candles makes other candles."""
_SPEC = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy:
  name: ops_smoke_demo
  version: v1
data:
  dataset: {dataset}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """`rows`: candles. `repeat`: how often each side is measured; None leaves it to the benchmark. `work`: absolute."""

    rows: int
    repeat: int | None
    work: Path
    tell: Callable[[str], None]

    @property
    def home(self) -> Path:
        """Home of the lab that holds DATASET, once something imported it."""
        return self.work / "home"

    @property
    def python(self) -> Path:
        return Path(sys.executable)

    @property
    def tc(self) -> Path:
        """The console script beside this Python."""
        return self.python.parent / "tc"

    def program(self, name: str) -> Path:
        return Path(__file__).parent / "programs" / f"{name}.py"

    def csv(self) -> Path:
        """The candles; made once in a work folder."""
        path = self.work / f"candles-{_CSV_VERSION}-{self.rows}.csv"
        if not path.exists():
            self.tell(f"making {self.rows:,} candles")
            unfinished = path.with_suffix(".tmp")
            run([self.python, self.program("make_candles"), unfinished, str(self.rows)], self.work)
            unfinished.rename(path)
        return path

    def import_candles(self) -> Sample:
        """Import the candles into a home without any."""
        shutil.rmtree(self.home, ignore_errors=True)
        return run([self.tc, "data", "import", self.csv(), "--dataset", DATASET, "--home", self.home], self.work)

    def dataset(self) -> Path:
        """The folder of the imported candles."""
        folder = self.home / "data" / "datasets" / DATASET
        if not folder.exists():
            self.tell("importing the candles")
            self.import_candles()
        return folder

    def bars(self) -> Path:
        """The folder of the imported candles' one bar type."""
        found = list((self.dataset() / "data" / "bars").iterdir())
        if len(found) != 1:
            raise CouldNotMeasure(f"the dataset has {len(found)} bar types")
        return found[0]

    def spec(self, dataset: str) -> Path:
        path = self.work / f"{dataset}.yaml"
        path.write_text(_SPEC.format(dataset=dataset))
        return path


def document(sample: Sample) -> dict[str, Any]:
    """What a program printed with `--json`."""
    found = json.loads(sample.output)
    assert isinstance(found, dict)
    return found
