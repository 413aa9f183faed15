"""The venue of a run: created once, found by `tc venue fault`, copied into the run, removed from `runtime/`."""

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
from opslab.runs.processes.venue_folder import copy_venue_files, is_venue_running, prepare_run_venue, remove_run_venue
from opslab.store.layout import Layout
from opslab.store.venues.ledger import read_ledger
from tests.drivers.served_venue import NAME, SAMPLE, serve_error, served_venue
from tests.drivers.tc import Tc
from tests.drivers.venue_client import SteppedVenue

RUN = RunId("paper-1")
FILES = {"venue.json", "control.token", "ledger.jsonl", "position", "events.jsonl"}


class RunVenue(SteppedVenue):
    """A venue process in the folder that a run's venue has."""

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


def unredacted(text: str) -> str:
    return text


def trade(venue: RunVenue) -> None:
    with venue.client() as client:
        client.place("BUY", "0.050").assert_ok()
        client.place("BUY", "0.010", "41000.0").assert_ok()


def fault_command(tc: Tc, *words: str) -> Any:
    return tc.json("venue", "fault", *words)


def test_its_folder_is_its_owners_alone_and_has_its_record(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    assert folder == venue.ledger
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "control.token")} == {
        RUN: 0o700, "control.token": 0o600,
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["control.token", "venue.json"]
    record = json.loads((folder / "venue.json").read_text())
    assert (record["name"], record["run_id"], record["dataset"]) == (RUN, RUN, venue.plan.dataset)
    assert (record["start"], record["end"]) == (None, None)


def test_a_window_is_recorded_by_its_opens(venue: RunVenue) -> None:
    plan = venue.plan.model_copy(update={"start_ms": 1_704_067_200_000, "end_ms": 1_704_070_800_000})
    record = json.loads((prepare_run_venue(venue.layout, plan) / "venue.json").read_text())
    assert (record["start"], record["end"]) == ("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z")


def test_a_name_in_use_is_refused_and_its_folder_is_not_changed(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = venue.plan.model_copy(update={"token": "another", "dataset": "another"})
    with pytest.raises(AlreadyExists, match=f"venue {RUN} exists already"):
        prepare_run_venue(venue.layout, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in venue.layout.venues.iterdir()] == [RUN]


def test_faults_are_started_listed_and_stopped_by_the_runs_id(served: RunVenue, home: Path) -> None:
    tc = Tc(home)
    number = fault_command(tc, "start", "halt", "--name", RUN)["number"]
    assert [row["fault"] for row in fault_command(tc, "list", "--name", RUN)] == ["halt"]
    with served.client() as client:
        assert client.place("BUY", "0.010").error == (400, -4108)
        fault_command(tc, "stop", str(number), "--name", RUN)
        client.place("BUY", "0.010").assert_ok()


def test_after_a_restart_with_another_token_its_control_socket_is_found(served: RunVenue, home: Path) -> None:
    served.kill()
    served._plan = served.plan.model_copy(update={"token": "f" * 64})
    served.start()
    assert fault_command(Tc(home), "start", "halt", "--name", RUN)["number"] == 1


def test_it_cannot_be_served_without_its_run(served: RunVenue, home: Path) -> None:
    """Neither while it runs nor after its death; and its control socket is not changed."""
    for alive in (True, False):
        if not alive:
            served.kill()
        error = serve_error(Tc(home), *SAMPLE, "--name", RUN)
        assert (error["exit_code"], error["message"]) == (5, f"venue {RUN} belongs to run {RUN}")


def test_a_served_venue_keeps_its_control_socket_when_its_name_is_requested_again(home: Path) -> None:
    tc = Tc(home)
    with served_venue(tc, "--name", NAME):
        assert serve_error(tc, *SAMPLE, "--name", NAME)["exit_code"] == 5
        assert fault_command(tc, "start", "halt", "--name", NAME)["number"] == 1


def test_the_copied_ledger_proves_the_account(served: RunVenue, home: Path) -> None:
    trade(served)
    tc, run_folder = Tc(home), served.layout.run(RUN)
    audit_before = tc.json("venue", "audit", RUN)
    served.stop()
    run_folder.mkdir(parents=True)
    copy_venue_files(served.ledger, run_folder, unredacted)
    remove_run_venue(served.layout, RUN)
    assert not served.ledger.exists()
    copied = sorted(path.relative_to(run_folder).as_posix() for path in run_folder.rglob("*") if path.is_file())
    assert copied == ["logs/venue-events.jsonl", "venue/ledger.jsonl"]
    audit = tc.json("venue", "audit", RUN)
    assert audit == audit_before
    assert (audit["venue"], audit["proven"], audit["position"], audit["open_orders"]) == (RUN, True, "0.050", 1)
    assert len(list(read_ledger(run_folder / "venue"))) == audit["transactions"]


def test_the_ledger_is_copied_byte_for_byte_and_a_second_copy_changes_nothing(served: RunVenue) -> None:
    trade(served)
    served.kill()
    with open(served.ledger / "ledger.jsonl", "ab") as stream:
        stream.write(b'{"seq":')
    run_folder = served.layout.run(RUN)
    for _ in range(2):
        copy_venue_files(served.ledger, run_folder, unredacted)
        assert (run_folder / "venue/ledger.jsonl").read_bytes() == (served.ledger / "ledger.jsonl").read_bytes()
    assert len(list(read_ledger(run_folder / "venue"))) == 3
    assert {path.name for path in run_folder.rglob("*")} == {"venue", "ledger.jsonl", "logs", "venue-events.jsonl"}


def test_the_event_log_is_copied_with_its_older_part_and_without_this_machines_paths(venue: RunVenue) -> None:
    folder = prepare_run_venue(venue.layout, venue.plan)
    (folder / "events.before.jsonl").write_text('{"event":"first"}\n')
    (folder / "events.jsonl").write_text(f'{{"event":"bug","traceback":"{folder}/x.py"}}\n')
    run_folder = venue.layout.run(RUN)
    copy_venue_files(folder, run_folder, lambda text: text.replace(str(folder), "FOLDER"))
    lines = (run_folder / "logs/venue-events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "first"}, {"event": "bug", "traceback": "FOLDER/x.py"}]
    assert not (run_folder / "venue").exists()  # it was never served: there is no ledger


def test_nothing_is_copied_or_removed_while_it_is_served(served: RunVenue) -> None:
    run_folder = served.layout.run(RUN)
    assert is_venue_running(served.layout, RUN)
    with pytest.raises(Environment, match=f"venue {RUN} is still running"):
        copy_venue_files(served.ledger, run_folder, unredacted)
    with pytest.raises(Environment, match="is still running"):
        remove_run_venue(served.layout, RUN)
    assert not run_folder.exists()
    assert {path.name for path in served.ledger.iterdir()} >= FILES
    served.stop()
    assert not is_venue_running(served.layout, RUN)


def test_a_venue_of_another_run_is_not_removed(venue: RunVenue, home: Path) -> None:
    with served_venue(Tc(home), "--name", RUN):
        pass
    remove_run_venue(venue.layout, RUN)
    assert (venue.ledger / "ledger.jsonl").exists()
    (venue.ledger / "venue.json").write_text("{}")
    with pytest.raises(Corrupt):
        remove_run_venue(venue.layout, RUN)
    assert (venue.ledger / "ledger.jsonl").exists()
    remove_run_venue(venue.layout, RunId("another"))  # it does not exist: nothing to do


def test_a_run_without_a_venue_has_no_ledger_to_audit(venue: RunVenue, home: Path) -> None:
    venue.layout.run(RUN).mkdir(parents=True)
    with pytest.raises(NotFound, match=f"venue {RUN} not found"):
        app(["venue", "audit", RUN, "--home", str(home)], standalone_mode=False)


def test_a_changed_copy_of_the_ledger_is_reported_with_its_run(served: RunVenue, home: Path) -> None:
    trade(served)
    served.stop()
    run_folder = served.layout.run(RUN)
    copy_venue_files(served.ledger, run_folder, unredacted)
    remove_run_venue(served.layout, RUN)
    copied = run_folder / "venue/ledger.jsonl"
    copied.write_bytes(copied.read_bytes().replace(b'"0.050"', b'"0.060"', 1))
    with pytest.raises(Corrupt, match=f"ledger of {RUN}: ledger.jsonl, line 3"):
        app(["venue", "audit", RUN, "--home", str(home)], standalone_mode=False)


def test_a_plan_that_names_another_folder_is_a_bug(venue: RunVenue) -> None:
    plan: VenuePlan = venue.plan.model_copy(update={"ledger": str(venue.ledger.parent / "other")})
    with pytest.raises(ValueError, match="must be in the venue's folder"):
        prepare_run_venue(venue.layout, plan)
