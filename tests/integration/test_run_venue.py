"""The venue of a run: made once, found by `tc venue fault`, kept with the run, gone from `runtime/`."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opslab.cli.app import app
from opslab.errors import AlreadyExists, Corrupt, Environment, NotFound
from opslab.model.messages.venue_messages import VenuePlan
from opslab.model.primitives.ids import RunId, VenueId
from opslab.runs.processes.venue_folder import drop_venue, is_venue_running, keep_venue, prepare_run_venue
from opslab.store.layout import Layout
from opslab.store.venues.ledger import read_ledger
from tests.drivers.tc import Tc
from tests.drivers.venue_client import VenueChild
from tests.integration.test_venue_serve import NAME, SAMPLE, serving
from tests.integration.test_venue_serve import refused as refused_to_serve

RUN = RunId("paper-1")
FILES = {"venue.json", "control.token", "ledger.jsonl", "position", "events.jsonl"}


class RunVenue(VenueChild):
    """A venue child in the place where a run has it."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home, folder, start="now")
        self.layout = Layout(home)
        self.ledger = self.layout.venue(VenueId(RUN))
        self._plan = self._plan.model_copy(update={"name": RUN, "ledger": str(self.ledger)})


@pytest.fixture
def home(sample_home: Path, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "data").symlink_to(sample_home / "data")
    return home


@pytest.fixture
def venue(home: Path, tmp_path: Path) -> RunVenue:
    return RunVenue(home, tmp_path / "process")


@pytest.fixture
def served(venue: RunVenue) -> Iterator[RunVenue]:
    prepare_run_venue(venue.layout, venue.plan)
    with venue:
        yield venue


def plain(text: str) -> str:
    return text


def trade(venue: RunVenue) -> None:
    with venue.client() as client:
        client.place("BUY", "0.050").assert_ok()
        client.place("BUY", "0.010", "41000.0").assert_ok()


def told(tc: Tc, *words: str) -> Any:
    return tc.json("venue", "fault", *words)


def test_it_is_its_owners_alone_and_says_what_it_is(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    assert folder == venue.ledger
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "control.token")} == {
        RUN: 0o700, "control.token": 0o600,
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["control.token", "venue.json"]
    found = json.loads((folder / "venue.json").read_text())
    assert (found["name"], found["run_id"], found["dataset"]) == (RUN, RUN, venue.plan.dataset)
    assert (found["start"], found["end"]) == (None, None)


def test_a_window_is_told_by_its_opens(venue: RunVenue) -> None:
    plan = venue.plan.model_copy(update={"start_ms": 1_704_067_200_000, "end_ms": 1_704_070_800_000})
    found = json.loads((prepare_run_venue(venue.layout, plan) / "venue.json").read_text())
    assert (found["start"], found["end"]) == ("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z")


def test_a_name_that_is_taken_is_refused_and_what_has_it_is_left(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = venue.plan.model_copy(update={"token": "another", "dataset": "another"})
    with pytest.raises(AlreadyExists, match=f"venue {RUN} exists already"):
        prepare_run_venue(venue.layout, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in venue.layout.venues.iterdir()] == [RUN]


def test_faults_are_begun_listed_and_ended_by_the_runs_id(served: RunVenue, home: Path) -> None:
    tc = Tc(home)
    number = told(tc, "start", "halt", "--name", RUN)["number"]
    assert [one["fault"] for one in told(tc, "list", "--name", RUN)] == ["halt"]
    with served.client() as client:
        assert client.place("BUY", "0.010").refused == (400, -4108)
        told(tc, "stop", str(number), "--name", RUN)
        client.place("BUY", "0.010").assert_ok()


def test_after_a_restart_with_another_token_its_door_is_found(served: RunVenue, home: Path) -> None:
    served.kill()
    served._plan = served.plan.model_copy(update={"token": "f" * 64})
    served.start()
    assert told(Tc(home), "start", "halt", "--name", RUN)["number"] == 1


def test_nobody_serves_it_alone(served: RunVenue, home: Path) -> None:
    """Neither while it lives nor behind its death; and its door stays as it is."""
    for alive in (True, False):
        if not alive:
            served.kill()
        found = refused_to_serve(Tc(home), *SAMPLE, "--name", RUN)
        assert (found["exit_code"], found["message"]) == (5, f"venue {RUN} is that of run {RUN}")


def test_a_venue_that_is_served_keeps_its_door_when_another_wants_its_name(home: Path) -> None:
    tc = Tc(home)
    with serving(tc, "--name", NAME):
        assert refused_to_serve(tc, *SAMPLE, "--name", NAME)["exit_code"] == 5
        assert told(tc, "start", "halt", "--name", NAME)["number"] == 1


def test_what_is_kept_is_enough_to_prove_the_account(served: RunVenue, home: Path) -> None:
    trade(served)
    tc, run_folder = Tc(home), served.layout.run(RUN)
    alive = tc.json("venue", "audit", RUN)
    served.stop()
    run_folder.mkdir(parents=True)
    keep_venue(served.ledger, run_folder, plain)
    drop_venue(served.layout, RUN)
    assert not served.ledger.exists()
    kept = sorted(path.relative_to(run_folder).as_posix() for path in run_folder.rglob("*") if path.is_file())
    assert kept == ["logs/venue-events.jsonl", "venue/ledger.jsonl"]
    found = tc.json("venue", "audit", RUN)
    assert found == alive
    assert (found["venue"], found["proven"], found["position"], found["open_orders"]) == (RUN, True, "0.050", 1)
    assert len(list(read_ledger(run_folder / "venue"))) == found["transactions"]


def test_the_ledger_is_kept_byte_for_byte_and_keeping_again_changes_nothing(served: RunVenue) -> None:
    trade(served)
    served.kill()
    with open(served.ledger / "ledger.jsonl", "ab") as stream:
        stream.write(b'{"seq":')
    run_folder = served.layout.run(RUN)
    for _ in range(2):
        keep_venue(served.ledger, run_folder, plain)
        assert (run_folder / "venue/ledger.jsonl").read_bytes() == (served.ledger / "ledger.jsonl").read_bytes()
    assert len(list(read_ledger(run_folder / "venue"))) == 3
    assert {path.name for path in run_folder.rglob("*")} == {"venue", "ledger.jsonl", "logs", "venue-events.jsonl"}


def test_the_event_log_is_kept_with_its_older_part_and_without_this_machines_paths(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    (folder / "events.before.jsonl").write_text('{"event":"first"}\n')
    (folder / "events.jsonl").write_text(f'{{"event":"bug","traceback":"{folder}/x.py"}}\n')
    run_folder = venue.layout.run(RUN)
    keep_venue(folder, run_folder, lambda text: text.replace(str(folder), "FOLDER"))
    lines = (run_folder / "logs/venue-events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "first"}, {"event": "bug", "traceback": "FOLDER/x.py"}]
    assert not (run_folder / "venue").exists()  # it was never served: there is no ledger


def test_nothing_is_kept_or_dropped_while_it_is_served(served: RunVenue) -> None:
    run_folder = served.layout.run(RUN)
    assert is_venue_running(served.layout, RUN)
    with pytest.raises(Environment, match=f"venue {RUN} is still served"):
        keep_venue(served.ledger, run_folder, plain)
    with pytest.raises(Environment, match="is still served"):
        drop_venue(served.layout, RUN)
    assert not run_folder.exists()
    assert {path.name for path in served.ledger.iterdir()} >= FILES
    served.stop()
    assert not is_venue_running(served.layout, RUN)


def test_a_venue_that_is_not_the_runs_is_not_dropped(venue: RunVenue, home: Path) -> None:
    with serving(Tc(home), "--name", RUN):
        pass
    drop_venue(venue.layout, RUN)
    assert (venue.ledger / "ledger.jsonl").exists()
    (venue.ledger / "venue.json").write_text("{}")
    with pytest.raises(Corrupt):
        drop_venue(venue.layout, RUN)
    assert (venue.ledger / "ledger.jsonl").exists()
    drop_venue(venue.layout, RunId("another"))  # there is none: nothing to do


def test_a_run_without_a_venue_has_no_ledger_to_audit(venue: RunVenue, home: Path) -> None:
    venue.layout.run(RUN).mkdir(parents=True)
    with pytest.raises(NotFound, match=f"venue {RUN} not found"):
        app(["venue", "audit", RUN, "--home", str(home)], standalone_mode=False)


def test_a_kept_ledger_that_was_changed_is_named_by_its_run(served: RunVenue, home: Path) -> None:
    trade(served)
    served.stop()
    run_folder = served.layout.run(RUN)
    keep_venue(served.ledger, run_folder, plain)
    drop_venue(served.layout, RUN)
    kept = run_folder / "venue/ledger.jsonl"
    kept.write_bytes(kept.read_bytes().replace(b'"0.050"', b'"0.060"', 1))
    with pytest.raises(Corrupt, match=f"ledger of {RUN}: ledger.jsonl, line 3"):
        app(["venue", "audit", RUN, "--home", str(home)], standalone_mode=False)


def test_a_plan_that_names_another_folder_is_a_bug(venue: RunVenue) -> None:
    plan: VenuePlan = venue.plan.model_copy(update={"ledger": str(venue.ledger.parent / "other")})
    with pytest.raises(ValueError, match="belongs into its folder"):
        prepare_run_venue(venue.layout, plan)
