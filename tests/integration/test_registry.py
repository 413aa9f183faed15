"""The list of runs reads what is there, and one bad folder spoils nothing."""

import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import FIRST_DAY, Answer, Tc, wait_until

FIELDS = [
    *("run_id", "mode", "status", "strategy", "dataset", "initialized_at", "started_at", "ended_at", "ended_by"),
    *("recovered_at", "acknowledged_at", "reconciliation"),
    *("reproduces", "drill", "drill_verdict", "drill_started_at", "drill_ended_at"),
    *("drill_detect_seconds", "drill_recover_seconds", "input_digest", "result_digest", "bars_seen", "folder"),
]


def copy_run(tc: Tc, source: str, name: str, **changes: Any) -> Path:
    """The records of a run under another name, with other metadata."""
    folder = tc.run_folder(name)
    folder.mkdir()
    metadata = json.loads((tc.run_folder(source) / "metadata.json").read_text())
    write_metadata(folder, {**metadata, "run_id": name, **changes})
    journal = (tc.run_folder(source) / "journal.jsonl").read_text()
    (folder / "journal.jsonl").write_text(journal.replace(f'"run_id":"{source}"', f'"run_id":"{name}"', 1))
    return folder


def write_metadata(folder: Path, document: dict[str, Any]) -> None:
    new = folder / ".metadata.json.tmp"
    new.write_text(json.dumps(document, indent=2) + "\n")
    new.replace(folder / "metadata.json")


def metadata_of(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "metadata.json").read_text())
    assert isinstance(document, dict)
    return document


def ids(document: dict[str, Any]) -> list[str]:
    return [row["run_id"] for row in document["runs"]]


def shown_ids(answer: Answer) -> list[str]:
    return [line.split()[0] for line in answer.out.splitlines()[1:]]


def index(tc: Tc) -> Path:
    return tc.home / "runtime" / "index" / "runs.json"


def kept(tc: Tc) -> Any:
    """What the index holds, by run id."""
    return json.loads(index(tc).read_text())["runs"] if index(tc).exists() else {}


def wait_for_index(tc: Tc, names: Iterable[str]) -> None:
    """List until the index holds these: a file that changed just now is not kept yet."""

    def holds() -> bool:
        tc.ok("run", "list")
        return set(names) <= set(kept(tc))

    wait_until(holds, "the index")


@pytest.fixture(scope="module")
def one_run(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with `r1`. Copy it before changing anything."""
    home = tmp_path_factory.mktemp("one-run") / "home"
    shutil.copytree(sample_home, home)
    Tc(home).ok("run", "backtest", "--spec", Tc(home).spec(), "--run-id", "r1")
    return home


@pytest.fixture
def lab(one_run: Path, tmp_path: Path) -> Tc:
    """`tc` in a home that has `r1`."""
    home = tmp_path / "lab"
    shutil.copytree(one_run, home)
    return Tc(home)


@pytest.fixture(scope="module")
def several(one_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    """Six runs that differ, and two folders that cannot be read. To be looked at only."""
    home = tmp_path_factory.mktemp("several") / "home"
    shutil.copytree(one_run, home)
    tc = Tc(home)
    first = metadata_of(tc.run_folder("r1"))
    began = {"started_at": "2026-01-01T00:00:00.000000Z", "ended_at": "2026-01-01T00:00:30.000000Z"}
    other = {**first["dataset"], "name": "other"}
    at = "2026-01-0{}T00:00:00.000000Z".format
    copy_run(tc, "r1", "b", initialized_at=at(1), status="failed", **began)
    copy_run(tc, "r1", "a", initialized_at=at(2), status="halted", dataset=other)
    copy_run(tc, "r1", "d", initialized_at=at(3), mode="paper", result_digest=None)
    copy_run(tc, "r1", "c", initialized_at=at(4), input_digest="sha256:" + "ab" * 32)
    copy_run(tc, "r1", "e", initialized_at=at(5), status="failed", mode="paper", dataset=other, metrics=None)
    for name in ("y", "x"):
        tc.run_folder(name).mkdir()
        (tc.run_folder(name) / "metadata.json").write_text("torn")
    return tc


def test_a_folder_that_cannot_be_read_is_a_row_that_says_so(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "good")
    for name, text in {"torn": '{"run_id": "to', "other": "[]", "empty": "", "binary": "\x00\xff"}.items():
        (tc.run_folder(name)).mkdir()
        (tc.run_folder(name) / "metadata.json").write_text(text)
    (tc.run_folder("nothing")).mkdir()
    (tc.home / "artifacts/runs/a file").write_text("not a run")
    (tc.home / "artifacts/runs/.hidden").mkdir()
    rows = {row["run_id"]: row for row in tc.json("run", "list")["runs"]}
    assert set(rows) == {"good", "torn", "other", "empty", "binary", "nothing"}
    assert rows["good"]["status"] == "completed"
    assert all(rows[name]["error"] for name in rows if name != "good")
    assert "unreadable" in tc.ok("run", "list").out
    for name in ("torn", "nothing"):
        assert tc("run", "show", name).code == 6


def test_metadata_can_be_deleted_and_comes_back_from_the_journal(tc: Tc) -> None:
    before = tc.json(
        "run", "backtest", "--spec", tc.spec(strategy="order_lifecycle_demo", data=FIRST_DAY), "--run-id", "r1"
    )
    (tc.run_folder("r1") / "metadata.json").unlink()
    assert tc.json("run", "show", "r1") == before


def test_a_run_folder_under_another_name_is_not_that_run(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    shutil.copytree(tc.run_folder("r1"), tc.run_folder("r2"))
    assert tc("run", "show", "r2").code == 6
    assert tc.json("run", "show", "r1")["status"] == "completed"


def test_runs_are_listed_oldest_first(tc: Tc) -> None:
    for name in ("z", "a"):
        tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", name)
    assert [row["run_id"] for row in tc.json("run", "list")["runs"]] == ["z", "a"]


def test_show_has_at_least_what_was_promised(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    assert {"run_id", "mode", "status", "input_digest", "result_digest", "started_at", "ended_at", "metrics"} <= set(
        run
    )
    counters = {"strategy_registered", "bars_seen", "deterministic_action_triggered", "orders_submitted", "fills_count"}
    assert counters <= set(run["metrics"])
    assert json.loads((tc.run_folder("r1") / "metrics.json").read_text())["scenario"] == run["metrics"]


def test_a_terminal_that_knows_only_ascii_gets_everything(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    assert tc("run", "show", "nö", PYTHONIOENCODING="ascii").code == 2
    assert tc("run", "list", PYTHONIOENCODING="ascii").code == 0


def test_a_row_of_the_list_is_a_summary_of_the_run(lab: Tc) -> None:
    (row,) = lab.json("run", "list")["runs"]
    shown = lab.json("run", "show", "r1")
    assert list(row) == FIELDS
    assert {row[name] for name in FIELDS if name.startswith("drill")} == {None}
    same = {name for name in FIELDS if not name.startswith("drill")}
    same -= {"strategy", "dataset", "bars_seen", "acknowledged_at"}
    assert {name: row[name] for name in same} == {name: shown[name] for name in same}
    assert (row["strategy"], row["dataset"], row["bars_seen"]) == ("ops_smoke_demo v1", "btcusdt-sample", 10080)
    assert (row["acknowledged_at"], shown["acknowledged"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", "b a d c e r1 x y"),
        ("--status failed", "b e"),
        ("--status failed --status halted", "b a e"),
        ("--mode paper", "d e"),
        ("--dataset other", "a e"),
        ("--dataset none", ""),
        ("--since 2026-01-04", "c e r1"),
        ("--since 2026-01-04T00:00:00.000001Z", "e r1"),
        ("--since 1h", "r1"),
        ("--input-digest abab", "c"),
        ("--input-digest SHA256:ABAB", "c"),
        ("--input-digest sha256:ABABAB", "c"),
        ("--status failed --mode paper --dataset other --since 2026-01-05", "e"),
        ("--status failed --mode paper --dataset other --since 2026-01-06", ""),
        ("--reverse", "r1 e c d a b x y"),
        ("--sort run-id", "a b c d e r1 x y"),
        ("--sort status", "c d r1 b e a x y"),
        ("--sort dataset --reverse", "a e b c d r1 x y"),
        ("--sort duration --reverse --limit 1", "b"),
        ("--sort mode --status failed", "b e"),
        ("--limit 2 --offset 1", "a d"),
        ("--limit 3 --offset 6", "x y"),
        ("--unacknowledged", "b a e"),
        ("--unacknowledged --mode paper", "e"),
        ("--offset 9", ""),
        ("--sort run-id --reverse --limit 2 --status failed", "e b"),
    ],
)
def test_filters_orders_and_pages(several: Tc, words: str, found: str) -> None:
    assert ids(several.json("run", "list", *words.split())) == found.split()
    assert shown_ids(several.ok("run", "list", *words.split())) == found.split()


def test_what_cannot_be_read_is_a_row_without_a_status(several: Tc) -> None:
    row = several.json("run", "list", "--offset", "7")["runs"][0]
    assert set(row) == {"run_id", "status", "error", "folder"}
    assert (row["run_id"], row["status"], row["folder"]) == ("y", None, "artifacts/runs/y")


def test_the_document_says_how_many_match_and_which_these_are(several: Tc) -> None:
    document = several.json("run", "list", "--status", "failed", "--limit", "1", "--offset", "1")
    assert {name: document[name] for name in ("total", "offset", "limit")} == {"total": 2, "offset": 1, "limit": 1}
    document = several.json("run", "list")
    assert {name: document[name] for name in ("total", "offset", "limit")} == {"total": 8, "offset": 0, "limit": None}


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("--limit 3", "tc: runs 1 to 3 of 8"),
        ("--limit 3 --offset 6", "tc: runs 7 to 8 of 8"),
        ("--offset 8", "tc: nothing at offset 8: 8 runs in all"),
        ("--dataset none", "tc: none of the 8 runs in "),
        ("--status failed", "tc: 2 unreadable runs match no filter"),
        ("--limit 8", ""),
    ],
)
def test_what_the_table_does_not_show_is_told_beside_it(several: Tc, words: str, note: str) -> None:
    answer = several.ok("run", "list", *words.split())
    *notes, unacknowledged = answer.err.splitlines()
    assert unacknowledged.startswith("tc: 3 runs are not acknowledged")
    assert bool(notes) == bool(note)
    assert answer.err.startswith(note)
    assert not several.ok("run", "list", *words.split(), "--json").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--status complete", "did you mean 'completed'?"),
        ("--status running,failed", "known: initialized, running, completed, failed, safety_blocked, halted, "),
        ("--mode papper", "did you mean 'paper'?"),
        ("--sort size", "known: initialized, run-id, status, mode, dataset, bars, duration"),
        ("--since yesterday", "2026-01-31T10:00:00Z, 90m, 24h or 7d"),
        ("--input-digest abc", "4 to 64 hex digits"),
        ("--dataset ../x", "dataset name is"),
        ("--limit 0", "--limit"),
        ("--offset -1", "--offset"),
        ("--limit two", "--limit"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_next_step(bare_tc: Tc, words: str, told: str) -> None:
    answer = bare_tc("run", "list", *words.split())
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err


def test_a_home_without_runs_is_left_as_it_is(bare_tc: Tc) -> None:
    assert bare_tc.json("run", "list") == {"runs": [], "total": 0, "offset": 0, "limit": None}
    assert "no runs in" in bare_tc.ok("run", "list", "--status", "failed").err
    assert not list(bare_tc.home.iterdir())


def test_a_run_that_goes_on_is_never_shown_as_it_was(lab: Tc) -> None:
    folder = lab.run_folder("r1")
    completed = metadata_of(folder)
    journal = (folder / "journal.jsonl").read_text()
    (folder / "journal.jsonl").write_text(journal[: journal.index("\n") + 1])
    begun = {"status": "initialized", "started_at": None, "ended_at": None, "owner": None, "metrics": None}
    write_metadata(folder, {**completed, **begun, "result_digest": None})
    wait_for_index(lab, ["r1"])
    assert [row["status"] for row in lab.json("run", "list")["runs"]] == ["initialized"]
    (folder / "journal.jsonl").write_text(journal)
    write_metadata(folder, completed)
    for _ in range(2):
        (row,) = lab.json("run", "list")["runs"]
        assert (row["status"], row["bars_seen"]) == ("completed", 10080)


def test_metadata_of_equal_size_in_the_place_of_the_old_is_read(lab: Tc) -> None:
    folder = lab.run_folder("r1")
    wait_for_index(lab, ["r1"])
    metadata = metadata_of(folder)
    other = "sha256:" + "0" * 64
    write_metadata(folder, {**metadata, "result_digest": other})
    assert lab.json("run", "list")["runs"][0]["result_digest"] == other


def test_the_journal_decides_over_a_run_whose_owner_is_gone(lab: Tc) -> None:
    """metadata.json is one event behind, as a crash between the two leaves it."""
    folder = lab.run_folder("r1")
    before, show = lab.json("run", "list")["runs"], lab.json("run", "show", "r1")
    completed = metadata_of(folder)
    write_metadata(folder, {**completed, "status": "running", "ended_at": None, "metrics": None})
    assert lab.json("run", "list")["runs"] == before
    assert lab.json("run", "show", "r1") == show
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:-1]))
    for _ in range(2):
        (row,) = lab.json("run", "list")["runs"]
        assert (row["status"], row["ended_by"]) == ("interrupted", "owner_gone")
    assert "tc run recover --all" in lab.ok("run", "list").err


def test_torn_metadata_beside_a_good_journal_is_no_loss(lab: Tc) -> None:
    before = lab.json("run", "list")
    show = lab.json("run", "show", "r1")
    (lab.run_folder("r1") / "metadata.json").write_text('{"run_id": "r')
    assert lab.json("run", "list") == before
    assert lab.json("run", "show", "r1") == show


def test_a_journal_that_tells_nonsense_spoils_its_own_row_only(lab: Tc) -> None:
    folder = copy_run(lab, "r1", "nonsense")
    (folder / "metadata.json").unlink()
    (folder / "journal.jsonl").write_text(
        '{"seq":1,"time":"x","event":"run_initialized","payload":{"run_id":5},"prev":null}\n'
    )
    rows = lab.json("run", "list")["runs"]
    assert [(row["run_id"], row["status"]) for row in rows] == [("r1", "completed"), ("nonsense", None)]
    assert lab("run", "show", "nonsense").code == 6


def test_the_index_may_be_anything(lab: Tc) -> None:
    for number in range(2, 21):
        copy_run(lab, "r1", f"r{number}")
    right = lab.json("run", "list")
    assert len(right["runs"]) == 20
    wait_for_index(lab, ids(right))
    good, entries = index(lab).read_bytes(), kept(lab)
    for garbage in (b"", b"\x00\xff", b"[]", b'{"runs": {"r1": 1}}', good[:-100], good.replace(b"completed", b"x")):
        index(lab).write_bytes(garbage)
        assert lab.json("run", "list") == right
        assert kept(lab) == entries
    index(lab).unlink()
    assert lab.json("run", "list") == right
    shutil.rmtree(index(lab).parent)
    index(lab).parent.write_text("a file where the folder belongs")
    assert lab.json("run", "list") == right
    index(lab).parent.unlink()
    index(lab).mkdir(parents=True)
    assert lab.json("run", "list") == right
    assert [file.name for file in index(lab).parent.iterdir()] == ["runs.json"], "nothing half done stays"


def test_lists_at_once_do_not_hurt_each_other(lab: Tc) -> None:
    for number in range(2, 31):
        copy_run(lab, "r1", f"r{number}")
    right = lab.json("run", "list")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: lab.json("run", "list"), range(8)))
    assert answers == [right] * 8
    assert lab.json("run", "list") == right
