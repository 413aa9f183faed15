"""Sessions in `*.txt` are run as written: what an operator reads there is what happens.

`$ tc ...` is a command; the lines below are its stdout, those with `! ` its stderr (checked when there are any),
`# exit N` its exit code (0 when not written). `...` stands for anything. Other lines with `# ` are for the reader.
The first of each command in a session is a process from nothing. `$ tc ... &` starts a command in the background, whose
first lines of stdout are below it; `$ kill %1` sends SIGTERM, with the rest of its stdout and all its stderr below.
"""

import doctest
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.drivers.tc import LIMIT_SECONDS, Answer, Tc, candle_lines

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"

WRONG = """\
spec_version: v1
mode: backtets
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: smoke}
data: {dataset: ../x}
acount: {}
"""

WRONG_PAPER = """\
spec_version: v1
mode: paper
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: ops_smoke_demo}
data: {dataset: btcusdt-sample}
paper:
  speed: 0
  stop: leave
backtest: {max_seconds: 60}
"""

OWN_WRONG = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy:
  path: crossing.cross:Cross
  config_path: crossing.cross:CrossConfig
  config:
    bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL
    fats: 3
    quantity: much
data: {dataset: btcusdt-sample}
"""


@dataclass(slots=True)
class Step:
    words: list[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    code: int = 0


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(shlex.split(line)[1:]))
        elif line.startswith("# exit "):
            steps[-1].code = int(line.removeprefix("# exit "))
        elif line.startswith("# ") or not steps:
            continue
        elif line.startswith("! "):
            steps[-1].err.append(line[2:])
        elif line:
            steps[-1].out.append(line)
    return steps


class Shell:
    """Runs steps as a shell would, with at most one command in the background. `with` leaves no process running."""

    def __init__(self, tc: Tc) -> None:
        self._tc = tc
        self._started: set[tuple[str, ...]] = set()
        self._background: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        if self._background:
            self._background.kill()
            self._background.communicate()

    def run(self, step: Step) -> Answer:
        if step.words == ["kill", "%1"]:
            return self._end()
        program, *words = step.words
        assert program == "tc", step.words
        if words[-1:] == ["&"]:
            return self._start(words[:-1], len(step.out))
        command = tuple(words[:2])
        answer = self._tc(*words) if command in self._started else self._tc.process(*words)
        self._started.add(command)
        return answer

    def _start(self, words: list[str], line_count: int) -> Answer:
        assert self._background is None
        process = self._background = self._tc.start(*words)
        assert process.stdout
        return Answer(0, "".join(process.stdout.readline() for _ in range(line_count)), "")

    def _end(self) -> Answer:
        process, self._background = self._background, None
        assert process
        process.terminate()
        out, err = process.communicate(timeout=LIMIT_SECONDS)
        return Answer(process.returncode, out, err)


def matches(want: list[str], got: str) -> bool:
    lines = "\n".join(line.rstrip() for line in got.splitlines() if line.strip()) + "\n"
    return doctest.OutputChecker().check_output("\n".join(want) + "\n", lines, doctest.ELLIPSIS)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_session(bare_tc: Tc, path: Path) -> None:
    shutil.copytree(EXAMPLES, bare_tc.home / "examples")
    lines = candle_lines(30)
    (bare_tc.home / "candles.csv").write_text("\n".join(lines) + "\n")
    (bare_tc.home / "gap.csv").write_text("\n".join([*lines[:11], *lines[13:]]) + "\n")
    (bare_tc.home / "wrong.yaml").write_text(WRONG)
    (bare_tc.home / "wrong-paper.yaml").write_text(WRONG_PAPER)
    (bare_tc.home / "examples" / "own-strategy" / "wrong.yaml").write_text(OWN_WRONG)
    steps = steps_of(path.read_text())
    assert steps
    with Shell(bare_tc) as shell:
        for step in steps:
            answer = shell.run(step)
            shown = f"$ {shlex.join(step.words)}\n{answer.out}\n--- stderr\n{answer.err}\n--- exit {answer.code}"
            assert answer.code == step.code, shown
            assert matches(step.out, answer.out) if step.out else not answer.out, shown
            assert not step.err or matches(step.err, answer.err), shown
