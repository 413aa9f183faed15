"""Strategies with one mistake each, through the command line. Each says itself what must come of it.

In the comments at the head of a file of tests/strategies/bad: `# expect: EXIT WORDS` (code 2: nothing was run, and
`tc spec validate` says the same), `# strategy: {...}` the spec's block (default: class Bad of the file),
`# backtest: {...}` another, and of a run: `# bars: N`, `# fills: N`, `# kept back: N` orders by the closed gate.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.drivers.tc import Answer, Tc

BAD = sorted((Path(__file__).parents[1] / "strategies" / "bad").glob("*.py"))
HEAD = re.compile(r"^# ([a-z ]+): (.+)$", re.MULTILINE)
SLOW_TO_REFUSE = {"endless_import"}


def heads(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in HEAD.findall(path.read_text()):
        found.setdefault(name, []).append(value)
    return found


def parse_spec(tc: Tc, path: Path, head: dict[str, list[str]]) -> str:
    """A folder with nothing but the strategy and its spec; the spec's path."""
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(path, folder)
    changes: dict[str, Any] = {name: yaml.safe_load(head[name][0]) for name in ("backtest",) if name in head}
    strategy = yaml.safe_load(head["strategy"][0]) if "strategy" in head else {"path": f"{path.stem}:Bad"}
    return tc.own_spec(folder, strategy, **changes)


def says(answer: Answer, code: int, words: list[str], tc: Tc) -> None:
    shown = f"exit {answer.code}\n{answer.out}\n{answer.err}"
    assert answer.code == code, shown
    for word in words:
        assert word in answer.err, shown
    assert str(tc.home) not in answer.err.replace(f"{tc.home}/own/spec.yaml", ""), shown


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_strategy_is_told_as_it_says(tc: Tc, path: Path) -> None:
    head = heads(path)
    expected = [line.partition(" ")[::2] for line in head["expect"]]
    codes = {int(code) for code, _ in expected}
    assert len(codes) == 1
    code, words = codes.pop(), [text for _, text in expected]
    spec = parse_spec(tc, path, head)
    if code == 2:
        says(tc("spec", "validate", "--spec", spec), code, words, tc)
    else:
        tc.ok("spec", "validate", "--spec", spec)
    if path.stem in SLOW_TO_REFUSE:
        return
    says(tc("run", "backtest", "--spec", spec, "--run-id", "r1"), code, words, tc)
    assert not (tc.home / "own" / "__pycache__").exists()
    if code == 2:
        assert not any(tc.home.glob("artifacts/**/*"))
    else:
        holds(tc, head)


def holds(tc: Tc, head: dict[str, list[str]]) -> None:
    """What the run's record says."""
    run = tc.json("run", "show", "r1")
    assert run["status"] in ("failed", "interrupted")
    assert run["result_digest"] is None
    if run["failure"]:
        assert str(tc.home) not in run["failure"]["detail"]
    for name, counter in (("bars", "bars_seen"), ("fills", "fills_count")):
        if name in head:
            assert run["metrics"][counter] == int(head[name][0])
    if "kept back" in head:
        assert run["denial_reasons"] == {"RUN_IS_ENDING": int(head["kept back"][0])}
