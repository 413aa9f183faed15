"""The docs hold: their commands run, and their tables name what the code has, no more and no less.

In a ```console block every line `$ tc ...` is run, page by page, in a fresh folder with a fresh home. It must exit
with 0, or with the code that a comment behind it names (`# exit 2`). A block with `title="name"` is a file that the
commands below it find; so are `examples/` and the candle files made here. `$ ...` lines of other programs are not run.
A page in `SCENES` finds a home in which things have gone wrong in the way that the page is about.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from opslab import errors
from opslab.cli.app import app
from opslab.datasets.quality.rules import RULES
from opslab.drills.trend import DrillTrend, TimeTrend
from opslab.killswitch.state import KillSwitchRecord, KillSwitchState, Switch
from opslab.lab.drill.record import DrillRow
from opslab.model.checks.check_kind import PLAIN_NAMES
from opslab.model.checks.comparison import Comparison, FirstDifference
from opslab.model.checks.connectivity import ProbeReason, ProbeResult, ProbeState, ReadinessResult, ReadinessState
from opslab.model.checks.parity import Cause, FillDifference, Parity
from opslab.model.journal.registry import EVENTS
from opslab.model.market.dataset import DatasetRecord
from opslab.model.primitives.ids import RunId
from opslab.model.run.code_inputs import CodeParts
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.manifest import FindingKind, Manifest, SealedFile, SealFinding, SealVerdict, Verification
from opslab.model.run.metadata import Owner, RunMetadata, Safety, ScenarioCounters, Status
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.run_counters import OrderCounters, PaperCounters
from opslab.model.spec.risk_profile import PROFILES
from opslab.model.spec.run_spec import BacktestSpec, PaperSpec
from opslab.reconciliation import result as reconciliation
from opslab.reconciliation.result import Reason, ReconciliationResult, Tolerances
from opslab.reconciliation.snapshot import KEYS, ROWS
from opslab.runs.comparison.reproduce import Reproduction
from opslab.runs.processes.venue_folder import is_venue_running
from opslab.runs.record.selection import Row
from opslab.runs.recovery import Action
from opslab.store.layout import Layout
from opslab.store.runs.seal import DERIVED
from tests.drivers.paper_run import PaperRun
from tests.drivers.tc import LIMIT_SECONDS, Tc, run_tc, wait_until
from tests.oracles.journal_statuses import misplaced

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = {"reason", "released_as"}
"""Fields of some orders only."""
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.-]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (tc(?: .*?)?)(?: +# exit (\d+)| > ([\w.]+) &)?$", re.MULTILINE)
"""A server is `$ tc ... > file &`: it is there once the file holds a line, and must end with 0 behind its page."""
NAME = re.compile(r"`([\w.-]+)`")
MINUTES_A_DAY = 1440
KEPT = {"run_id", "artifact", "digest", "seal"}
"""What a check's answer says of how it was kept."""


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """(language, title, text) of every fenced block."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found[1], found[2] or "", found[3]


def has_commands(page: Path) -> bool:
    return any(language == "console" and COMMAND.search(text) for language, _, text in blocks(page))


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TC_HOME": str(folder / "home")}


def tc(words: Iterable[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return run_tc(list(words), environment(folder), folder)


def ok(command: str, folder: Path) -> str:
    """What `tc <command>` prints; it must exit with 0."""
    done = tc(command.split(), folder)
    assert done.returncode == 0, f"tc {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_folder(folder: Path, run_id: str) -> Path:
    return folder / "home" / "artifacts" / "runs" / run_id


PREPARE = "data prepare --dataset btcusdt-sample"
LIFECYCLE = "run backtest --spec examples/order-lifecycle.yaml --run-id"
WEEK = "order-lifecycle-week.yaml"
LIFECYCLE_DAY = 'data:\n  dataset: btcusdt-sample\n  end: "2024-01-02T00:00Z"\n'
"""Of its week; `tests/cli/runs.txt` runs the example as it is."""
SMOKE = "run backtest --spec examples/ops-smoke.yaml --run-id"


def day_of_candles(first_open_ms: int) -> list[str]:
    """A day of lines `open_time,open,high,low,close,volume`."""
    lines = []
    for minute in range(MINUTES_A_DAY):
        tenths, close_tenths = 600_000 + minute * 37 % 200, 600_000 + (minute + 1) * 37 % 200
        prices = (tenths, max(tenths, close_tenths) + 5, min(tenths, close_tenths) - 5, close_tenths)
        shown = ",".join(f"{price // 10}.{price % 10}" for price in prices)
        lines.append(f"{first_open_ms + minute * 60_000},{shown},5.{minute % 10:03d}")
    return lines


def write_zip(path: Path, lines: Iterable[str]) -> None:
    """As Binance publishes them: twelve columns, no header."""
    rows = (f"{line},{int(line.partition(',')[0]) + 59_999},1,1,1,1,0" for line in lines)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.csv", "".join(f"{row}\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the docs suppose to be in the current folder."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    lifecycle = tmp_path / "examples" / "order-lifecycle.yaml"
    shutil.copy(lifecycle, tmp_path / WEEK)
    lifecycle.write_text(lifecycle.read_text().replace("data:\n  dataset: btcusdt-sample\n", LIFECYCLE_DAY))
    first_day, second_day = day_of_candles(1_714_521_600_000), day_of_candles(1_714_608_000_000)
    text = "\n".join(["open_time,open,high,low,close,volume", *first_day])
    (tmp_path / "candles.csv").write_text(f"{text}\n")
    write_zip(tmp_path / "BTCUSDT-1m-2024-05-01.zip", first_day)
    write_zip(tmp_path / "BTCUSDT-1m-2024-05-02.zip", second_day)
    return tmp_path


def runs_that_were_changed(folder: Path) -> None:
    """A changed row, edited metadata, a lost seal, and a note that somebody put there."""
    ok(PREPARE, folder)
    ok(f"{LIFECYCLE} lifecycle-1", folder)
    change_line(run_folder(folder, "lifecycle-1") / "orders.jsonl", 1000)
    for run_id in ("smoke-1", "smoke-2", "smoke-3"):
        ok(f"{SMOKE} {run_id}", folder)
    metadata = run_folder(folder, "smoke-1") / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"completed"', '"failed"'))
    (run_folder(folder, "smoke-2") / "manifest.json").unlink()
    (run_folder(folder, "smoke-3") / "notes.txt").write_text("looked at\n")


def a_run_whose_owner_is_gone(folder: Path) -> None:
    """`night-1`: its `tc` was killed in the middle of it."""
    ok(PREPARE, folder)
    words = [sys.executable, "-m", "opslab", "run", "backtest", "--spec", WEEK, "--run-id", "night-1"]
    process = subprocess.Popen(words, cwd=folder, env=environment(folder), stderr=subprocess.PIPE)
    journal = run_folder(folder, "night-1") / "journal.jsonl"
    wait_until(lambda: journal.exists() and journal.stat().st_size > HUNDREDS_OF_ORDERS, "orders of night-1")
    process.kill()
    process.communicate()


def runs_whose_owner_is_gone(folder: Path) -> None:
    """`night-1` as above; and `paper-1`, a paper run, killed while it traded. Its venue has ended."""
    a_run_whose_owner_is_gone(folder)
    with paper_run(folder, "paper-1") as run:
        wait_for_trade(run)
        run.process.kill()
        run.process.wait()
        venue = Layout(run.tc.home)
        wait_until(lambda: not is_venue_running(venue, RunId("paper-1")), "the venue to end")


def paper_run(folder: Path, run_id: str, **paper: Any) -> PaperRun:
    tc = Tc(folder / "home")
    asked = {"speed": 120, "max_bars": 30, **paper}
    return PaperRun(tc, tc.spec(f"{run_id}.yaml", mode="paper", strategy="order_lifecycle_demo", paper=asked), run_id)


def wait_for_trade(run: PaperRun) -> None:
    run.wait_for("order_event", lambda told: told["type"] == "OrderFilled")


def runs_whose_engine_was_killed(folder: Path) -> None:
    """`paper-1` went on with another engine, `paper-2` may not."""
    ok(PREPARE, folder)
    for run_id, restart, code in (("paper-1", "on_failure", 0), ("paper-2", "never", 1)):
        with paper_run(folder, run_id, restart=restart, max_bars=10) as run:
            wait_for_trade(run)
            run.kill_child("engine")
            assert run.end().code == code


def a_run_that_was_blocked(folder: Path) -> None:
    """`night-1`, by the switch of all runs; and a switch that nobody can read."""
    ok(PREPARE, folder)
    done = tc(["kill", "activate", "--all", "--reason", "prices look odd", "--actor", "ann"], folder)
    assert done.returncode == 0, done.stderr
    assert tc([*SMOKE.split(), "night-1"], folder).returncode == 4
    (folder / "home" / "runtime" / "kill_switch" / "eve.state.json").touch()


HUNDREDS_OF_ORDERS = 1_000_000
"""Bytes of a journal that tells of so many; the whole one of this spec has twenty times as much."""


def a_run_that_waits(folder: Path) -> None:
    """`r1`, initialized; it was reconciled once."""
    ok(PREPARE, folder)
    ok("run init --spec examples/order-lifecycle.yaml --run-id r1", folder)
    pair = "--expected examples/reconciliation/expected.json --observed examples/reconciliation/ok.json"
    ok(f"reconcile check --run-id r1 {pair} --max-age-seconds 1000000000", folder)


@contextmanager
def a_run_with_a_silent_feed(folder: Path) -> Iterator[None]:
    """`night-1`, on the page's own spec: its venue tells no closed candles any more."""
    ok(PREPARE, folder)
    page = DOCS / "runbooks" / "feed-silent.md"
    (folder / "watched.yaml").write_text(next(text for _, title, text in blocks(page) if title == "watched.yaml"))
    words = [sys.executable, "-m", "opslab", "run", "paper", "--spec", "watched.yaml", "--run-id", "night-1"]
    process = subprocess.Popen(words, cwd=folder, env=environment(folder), stderr=subprocess.DEVNULL)
    journal = run_folder(folder, "night-1") / "journal.jsonl"

    def told(what: str) -> bool:
        return journal.exists() and what in journal.read_text()

    try:
        wait_until(lambda: told('"feed":"bars","from":"recovering","to":"live"'), "bars of night-1")
        ok("venue fault start silence --name night-1 --term stream=btcusdt@kline_1m --seconds 600", folder)
        wait_until(lambda: told('"feed":"bars","from":"live","to":"silent"'), "silence of night-1")
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_SECONDS) == 130
    finally:
        process.kill()
        process.wait()


@contextmanager
def a_run_whose_owner_is_stopped(folder: Path) -> Iterator[None]:
    """`night-1`, a paper run: its `tc` was stopped by SIGSTOP after a heartbeat."""
    ok(PREPARE, folder)
    with paper_run(folder, "night-1") as run:
        run.wait_for_bars(1)
        run.signal(signal.SIGSTOP)
        yield
        run.signal(signal.SIGCONT)


@contextmanager
def a_run_with_a_foreign_order(folder: Path) -> Iterator[None]:
    """`night-1`, a paper run; the page halts it."""
    ok(PREPARE, folder)
    with paper_run(folder, "night-1", max_bars=600) as run:
        wait_for_trade(run)
        ok("venue fault start external-trade --name night-1", folder)
        yield
        assert run.end().code == 4


LIVING: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "docs/runbooks/feed-silent.md": a_run_with_a_silent_feed,
    "docs/runbooks/foreign-order.md": a_run_with_a_foreign_order,
    "docs/runbooks/heartbeat-lost.md": a_run_whose_owner_is_stopped,
}
"""Scenes that go on while the page's commands are run."""


def a_run_that_was_halted(folder: Path) -> None:
    """`night-1`, a paper run."""
    ok(PREPARE, folder)
    words = [sys.executable, "-m", "opslab", "run", "paper", "--spec", "examples/order-lifecycle-paper.yaml"]
    words += ["--run-id", "night-1"]
    process = subprocess.Popen(
        words, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    journal = run_folder(folder, "night-1") / "journal.jsonl"
    wait_until(lambda: journal.exists() and b'"OrderFilled"' in journal.read_bytes(), "a fill of night-1")
    ok("kill activate --run-id night-1 --reason odd", folder)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 4, err


def a_run_that_failed(folder: Path) -> None:
    """`night-1`, a backtest of a strategy that raises."""
    ok(PREPARE, folder)
    own = folder / "own"
    own.mkdir()
    shutil.copy(ROOT / "tests" / "strategies" / "bad" / "raises_in_on_bar.py", own)
    spec = Tc(folder / "home").own_spec(own, {"path": "raises_in_on_bar:Bad"})
    assert tc(["run", "backtest", "--spec", spec, "--run-id", "night-1"], folder).returncode == 1


def a_run_that_was_closed_by_force(folder: Path) -> None:
    """`night-1`, a paper run."""
    ok(PREPARE, folder)
    with paper_run(folder, "night-1", max_bars=600) as run:
        wait_for_trade(run)
        ok("venue fault start margin-call --name night-1", folder)
        assert run.end().code == 1


def a_run_that_cannot_be_read(folder: Path) -> None:
    """`smoke-1`."""
    ok(PREPARE, folder)
    ok(f"{SMOKE} smoke-1", folder)
    journal = run_folder(folder, "smoke-1") / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    (run_folder(folder, "smoke-1") / "metadata.json").unlink()


def a_home(folder: Path) -> None:
    ok(PREPARE, folder)


SCENES: dict[str, Callable[[Path], None]] = {
    "docs/runbooks/run-failed.md": a_run_that_failed,
    "docs/runbooks/forced-close.md": a_run_that_was_closed_by_force,
    "docs/runbooks/halt-slow.md": a_run_that_was_halted,
    "docs/runbooks/exporter-errors.md": a_run_that_cannot_be_read,
    "docs/runbooks/observability-no-data.md": a_home,
    "docs/runbooks/disk-full.md": a_home,
    "docs/runbooks/artifact-health.md": runs_that_were_changed,
    "docs/runbooks/interrupted-run.md": runs_whose_owner_is_gone,
    "docs/runbooks/restart-recovery.md": runs_whose_engine_was_killed,
    "docs/runbooks/safety-gate.md": a_run_that_was_blocked,
    "docs/runbooks/reconciliation-mismatch.md": a_run_that_waits,
    "docs/runbooks/kill-switch.md": a_run_that_was_halted,
}


def change_line(path: Path, number: int) -> None:
    """One digit of it, the size kept."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(b'0.005"', b'0.006"')
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("page", [page for page in PAGES if has_commands(page)], ids=lambda page: page.name)
def test_commands_of_the_docs_run(page: Path, folder: Path) -> None:
    if scene := SCENES.get(page.relative_to(ROOT).as_posix()):
        scene(folder)
    with ExitStack() as servers:
        servers.enter_context(LIVING.get(page.relative_to(ROOT).as_posix(), nullcontext)(folder))
        run_commands(page, folder, servers)


def run_commands(page: Path, folder: Path, servers: ExitStack) -> None:
    for language, title, text in blocks(page):
        if title:
            (folder / title).write_text(text, encoding="utf-8")
        if language != "console":
            continue
        for found in COMMAND.finditer(text):
            if found[3]:
                servers.enter_context(served(shlex.split(found[1])[1:], folder, folder / found[3]))
                continue
            assert not set("|<>;&`$") & set(found[1]), f"{page.name}: a shell would be needed for: {found[1]}"
            done = tc(shlex.split(found[1])[1:], folder)
            wanted = int(found[2] or 0)
            assert done.returncode == wanted, f"{page.name}: {found[0]}\n{done.stdout}{done.stderr}"


@contextmanager
def served(words: Iterable[str], folder: Path, out: Path) -> Iterator[None]:
    with open(out, "w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "opslab", *words],
            cwd=folder,
            env=environment(folder),
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        wait_until(lambda: out.read_text().endswith("\n") or process.poll() is not None, f"{words} to serve")
        assert process.poll() is None, process.communicate()[1]
        yield
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()


def by_hand(folder: Path, page: str, title: str, argument: Path) -> tuple[int, str]:
    """Exit code and output of a script that a page prints."""
    script = next(text for _, found, text in blocks(DOCS / page) if found == title)
    (folder / title).write_text(script)
    program = "sh" if title.endswith(".sh") else sys.executable
    done = subprocess.run([program, title, str(argument)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_fingerprint_can_be_recomputed_as_its_page_says(folder: Path) -> None:
    recomputed = by_hand(folder, "data.md", "fingerprint.py", folder / "candles.csv")
    done = ok("data import candles.csv --dataset one-day --json", folder)
    assert recomputed == (0, f"{json.loads(done)['fingerprint']}\n")


def test_journal_and_seal_can_be_checked_as_their_pages_say(folder: Path) -> None:
    ok(PREPARE, folder)
    ok(f"{LIFECYCLE} r1", folder)
    run = run_folder(folder, "r1")
    journal, manifest = run / "journal.jsonl", run / "manifest.json"
    lines = journal.read_bytes().count(b"\n")
    assert by_hand(folder, "journal.md", "chain.py", journal) == (0, f"{lines} lines, each following the one before\n")
    assert by_hand(folder, "manifest.md", "check.sh", run) == (0, "every file is what was sealed\n")
    assert by_hand(folder, "manifest.md", "seal.py", run) == (0, "seal holds\nline checks hold\n")
    number = next(n for n, line in enumerate(journal.read_bytes().splitlines(), 1) if b'0.005"' in line)
    change_line(journal, number)
    broken = f"line {number + 1} does not follow the line before it\n"
    assert by_hand(folder, "journal.md", "chain.py", journal) == (1, broken)
    assert "journal.jsonl: FAILED" in by_hand(folder, "manifest.md", "check.sh", run)[1]
    assert by_hand(folder, "manifest.md", "seal.py", run) == (
        0,
        f"seal holds\nline checks hold\njournal.jsonl: differs from line {number} on\n",
    )
    manifest.write_text(manifest.read_text().replace('"completed"', '"failed"'))
    assert by_hand(folder, "manifest.md", "seal.py", run)[1].startswith("seal does not hold\n")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_out_of_the_root_lead_somewhere(name: str) -> None:
    """Links inside docs/ are checked by `mkdocs build --strict`."""
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert not [link for link in links if not (ROOT / link).exists()]


def section(page: str, heading: str) -> str:
    """The text below a second-level heading, up to the next one."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no section {heading!r}"
    return found[1]


def first_cells(page: str, heading: str) -> set[str]:
    """Every `name` in the first column of the section's tables."""
    rows = re.findall(r"^\| (`.*?) \|", section(page, heading), re.MULTILINE)
    return {name for cell in rows for name in NAME.findall(cell)}


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Dotted names of all fields that are not records themselves."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        variants = [get_args(kind)[0] for kind in get_args(field.annotation) if get_args(kind)]
        inner = [
            kind for kind in [field.annotation, *variants] if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        for kind in inner:
            names |= leaves(kind, f"{prefix}{name}.")
        if not inner:
            names.add(f"{prefix}{name}")
    return names


def words_of(literal: Any) -> set[str]:
    """The words of a Literal, or of a union of several."""
    parts = get_args(getattr(literal, "__value__", literal))
    return {word for part in parts for word in ([part] if isinstance(part, str) else words_of(part))}


def fields_words(model: type[BaseModel], name: str) -> set[str]:
    return words_of(model.model_fields[name].annotation)


KILL_SWITCH_FILES = (
    {".lock", ".spare", "_all.state.json", "_all.events.jsonl"}
    | {field.name for field in dataclasses.fields(KillSwitchRecord)}
    | {"time", "event", "result"}
)
"""And the fields of the two that hold something."""
KILL_SWITCH_ANSWER = {field.name for field in dataclasses.fields(Switch)} - {"file"} | {
    "home",
    "home_source",
    "requested",
    "decided_by",
    "switches",
    "run_exists",
    "nearest",
    "action",
    "notes",
}


@pytest.mark.parametrize(
    ("page", "heading", "known"),
    [
        ("spec.md", "Fields", leaves(BacktestSpec) | leaves(PaperSpec)),
        ("spec.md", "Risk profiles", set(PROFILES)),
        ("data.md", "Quality rules", set(RULES)),
        ("data.md", "The dataset folder", set(DatasetRecord.model_fields)),
        ("run.md", "Statuses", words_of(Status)),
        ("run.md", "Inputs", set(CodeParts.model_fields)),
        ("run.md", "metadata.json", set(RunMetadata.model_fields) | {"live", "seal", "folder"}),
        ("run.md", "Counters", set(ScenarioCounters.model_fields)),
        ("run.md", "Orders by outcome", set(OrderCounters.model_fields)),
        ("run.md", "The owner and its heartbeat", set(Owner.model_fields) | set(LiveStatus.model_fields)),
        ("run.md", "Owner gone", words_of(Action)),
        ("run.md", "Verification", words_of(SealVerdict)),
        ("run.md", "Comparison", fields_words(Comparison, "results")),
        ("run.md", "Reproduction", fields_words(Reproduction, "verdict")),
        ("kill-switch.md", "Halt record", set(HaltFacts.model_fields)),
        ("safety-gate.md", "States", words_of(KillSwitchState)),
        ("safety-gate.md", "The files", KILL_SWITCH_FILES),
        ("safety-gate.md", "Safety record", set(Safety.model_fields)),
        ("json.md", "A kill switch", KILL_SWITCH_ANSWER),
        ("journal.md", "A line", {"seq", "time", "event", "payload", "prev"}),
        ("journal.md", "Events", set(EVENTS)),
        ("manifest.md", "manifest.json", set(Manifest.model_fields)),
        ("manifest.md", "A sealed file", set(SealedFile.model_fields)),
        ("manifest.md", "Findings of verify", words_of(FindingKind)),
        ("json.md", "A row of the list", (set(Row._fields) | {"folder"}) - {"error", "error_brief"}),
        ("json.md", "A verification", set(Verification.model_fields) | set(SealFinding.model_fields) | {"hint"}),
        ("paper-results.md", "Comparison with another run", words_of(Cause) | fields_words(Parity, "verdict")),
        ("json.md", "A parity", set(Parity.model_fields) | set(FillDifference.model_fields)),
        ("paper-results.md", "The section `paper`", set(PaperFacts.model_fields)),
        ("paper-results.md", "Counters of a paper run", set(ScenarioCounters.model_fields)),
        ("paper-results.md", "Counters of a running paper run", set(PaperCounters.model_fields)),
        ("json.md", "A comparison", set(Comparison.model_fields) | set(FirstDifference.model_fields)),
        ("json.md", "A reproduction", set(Reproduction.model_fields)),
        ("json.md", "A drill of the list", set(DrillRow.__annotations__)),
        ("json.md", "A trend", set(DrillTrend.model_fields) | set(TimeTrend.model_fields)),
        ("json.md", "A readiness", set(ReadinessResult.model_fields) | KEPT),
        ("json.md", "A probe", set(ProbeResult.model_fields) | KEPT),
        ("connectivity.md", "Readiness", words_of(ReadinessState)),
        ("connectivity.md", "Probe", words_of(ProbeState) | words_of(ProbeReason)),
        ("reconciliation.md", "A snapshot", set(KEYS) | {name for names in ROWS.values() for name in names}),
        ("reconciliation.md", "States", words_of(reconciliation.State)),
        ("reconciliation.md", "Reasons", words_of(Reason)),
        ("reconciliation.md", "Tolerances", set(Tolerances.model_fields)),
        (
            "reconciliation.md",
            "The result",
            set(ReconciliationResult.model_fields) | set(reconciliation.ReconciliationFinding.model_fields),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tables_name_what_the_code_has(page: str, heading: str, known: set[str]) -> None:
    named = first_cells(page, heading)
    assert named == known, f"docs/{page}, {heading}: to add {sorted(known - named)}, to remove {sorted(named - known)}"


def test_every_exit_code_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LabError)]
    explained = set(re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(), re.MULTILINE))
    assert {str(kind.exit_code) for kind in kinds} <= explained


def test_a_run_writes_the_files_and_fields_that_its_page_names(folder: Path) -> None:
    ok(PREPARE, folder)
    ok(f"{LIFECYCLE} r1", folder)
    run = run_folder(folder, "r1")
    files = files_of_a_run()
    assert {path.name for path in run.iterdir()} == set(files)
    assert {name for name, sealed in files.items() if sealed == "no: derived"} == DERIVED - PLAIN_NAMES
    manifest = json.loads((run / "manifest.json").read_text())
    listed = {file["path"].partition("/")[0] for file in manifest["files"]} | {"logs"}
    assert {name for name, sealed in files.items() if sealed == "yes"} == listed
    shown = json.loads(ok("run show r1 --json", folder))
    assert set(shown) == first_cells("run.md", "metadata.json")
    for line in section("run.md", "Canonical results").splitlines():
        row = re.match(r"\| `(\w+\.jsonl)` \|.*?\|(.*)\|$", line)
        if row:
            first = json.loads((run / row[1]).read_text().partition("\n")[0])
            named = set(NAME.findall(row[2])) - (OPTIONAL if row[1] == "orders.jsonl" else set())
            assert named == set(first), f"docs/run.md, {row[1]}: {sorted(named ^ set(first))}"


def files_of_a_run() -> dict[str, str]:
    """Name to what the page says of its being sealed."""
    rows = re.findall(r"^\| (`.*?) \|.*\| (.*?) \|$", section("run.md", "The run folder"), re.MULTILINE)
    return {name.rstrip("/"): sealed for cell, sealed in rows for name in re.findall(r"`([\w./-]+)`", cell)}


def test_events_say_what_the_journals_page_says(folder: Path) -> None:
    parts = re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", section("journal.md", "Payloads"), re.MULTILINE | re.DOTALL)
    named = {event: set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) for event, table in parts}
    of_a_line = Draft202012Validator(json.loads((DOCS / "journal.schema.json").read_text(encoding="utf-8")))
    ok(PREPARE, folder)
    for run_id, spec in (("a", "examples/ops-smoke.yaml"), ("b", "examples/own-strategy/cross.yaml")):
        ok(f"run init --spec {spec} --run-id {run_id}", folder)
        (folder / "examples" / "own-strategy" / "crossing" / "more.py").write_text("MORE = 1\n")
        ok(f"run backtest --spec {spec} --run-id {run_id}", folder)
        events = [json.loads(line) for line in (run_folder(folder, run_id) / "journal.jsonl").read_text().splitlines()]
        assert not list(misplaced(events))
        for event in events:
            of_a_line.validate(event)
            unknown = set(event["payload"]) - named[event["event"]]
            assert event["event"] == "order_event" or not unknown, (event["event"], unknown)


def offered() -> Iterator[tuple[str, set[str], set[str]]]:
    """(command, its options without --help, its arguments) of all that `tc --help` offers, and of `tc` itself."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, set[str], set[str]]]:
        inner = getattr(command, "commands", {})
        if not inner or len(words) == 1:
            named = [param for param in command.params if param.name != "help"]
            options = {name for param in named for name in param.opts if name.startswith("--")}
            arguments = {
                f"{param.metavar.removesuffix('...')}{'...' if param.nargs == -1 else ''}"
                for param in named
                if param.param_type_name == "argument"
            }
            yield " ".join(words), options - {"--help"}, arguments
        for name, child in inner.items():
            yield from walk(child, (*words, name))

    yield from walk(typer.main.get_command(app), ("tc",))


def test_command_reference_is_what_help_offers() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    synopses = re.findall(r"^## (tc.*?)$.*?^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    known = {command: (options, arguments) for command, options, arguments in offered()}
    assert {heading for heading, _ in synopses} == set(known)
    for heading, synopsis in synopses:
        options, arguments = known[heading]
        assert synopsis.startswith(heading), heading
        assert set(re.findall(r"--[\w-]+", synopsis)) == options, heading
        rest = set(re.sub(r"\[.*?\]|--[\w-]+( \w+)?|\|", "", synopsis.removeprefix(heading)).split())
        assert rest == arguments, heading
