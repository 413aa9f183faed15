"""Every event of the journal is a class: its payload is what the journal has, and comes back as what it was."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json

import opslab
from opslab.model.checks.check_kind import CHECK_EVENTS
from opslab.model.journal import check_events, engine_events, fault_events, run_events, torn_end_event
from opslab.model.journal.check_events import CHECK_KINDS
from opslab.model.journal.engine_events import EngineEnded, EngineLost, FeedStateChanged, PaperHeartbeat, TradingHalted
from opslab.model.journal.journal_event import ANY_STATUS, JournalEvent, decode, recorded
from opslab.model.journal.registry import EVENTS
from opslab.model.journal.run_events import (
    ENDINGS,
    KillSwitchObserved,
    RunCompleted,
    RunHalted,
    RunInitialized,
    RunInterrupted,
    RunStarted,
)
from opslab.model.run.event import HIGH_RATE, Event
from opslab.model.run.metadata import FINAL
from tests.fakes.journal_events import AT, EXAMPLES, FAILURE, HALT, OWNER, PAPER, RESULTS, SAFETY

SOURCES = {path: path.read_text() for path in Path(opslab.__file__).parent.rglob("*.py")}


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.EVENT)
def test_an_event_comes_back_from_its_payload(event: JournalEvent) -> None:
    payload = from_json(to_json(event.payload()))
    again = decode(type(event), payload)
    assert again == event
    assert to_json(again.payload()) == to_json(event.payload())


def test_every_event_has_an_example_and_a_name_in_the_form_of_its_class() -> None:
    assert set(EXAMPLES) == set(EVENTS.values())
    for name, kind in EVENTS.items():
        snake_case = re.sub(r"(?<=.)([A-Z])", r"_\1", kind.__name__).lower()
        assert snake_case == ("engine_order_event" if name == "order_event" else name)


def test_every_class_is_an_event() -> None:
    """None is forgotten in the registry: a class with a name of its own is an event."""
    kinds = {
        kind
        for module in (run_events, check_events, engine_events, fault_events, torn_end_event)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, JournalEvent) and "EVENT" in vars(kind)
    }
    assert kinds == set(EVENTS.values())


def test_every_event_is_written_somewhere_and_no_other() -> None:
    """Outside the model: by its class; order events by their names, as they come from the pipe."""
    outside = {path: text for path, text in SOURCES.items() if "model/journal" not in path.as_posix()}
    for name, kind in EVENTS.items():
        words = rf"\b{kind.__name__}\b" if name not in ("order_event", "order_gated") else rf'"{name}"'
        assert any(re.search(words, text) for text in outside.values()), f"nothing writes {name}"
    known = {*HIGH_RATE, *CHECK_EVENTS, *ENDINGS}
    assert known <= set(EVENTS)
    for path, text in outside.items():
        for name in written_by_name(ast.parse(text)):
            assert name in EVENTS, f"{path}: {name} has no class"


def written_by_name(tree: ast.AST) -> set[str]:
    """Names given as text: `append("name", ...)`, `("name", payload)`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    pairs = [node.elts for node in ast.walk(tree) if isinstance(node, ast.Tuple) and len(node.elts) == 2]
    appended = [call.args for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "append"]
    noticed = [pair for pair in pairs if isinstance(pair[1], ast.Name) and pair[1].id == "payload"]
    firsts = [args[0] for args in (*appended, *noticed)]
    return {first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)}


def test_events_that_end_a_run_are_those_of_its_final_statuses() -> None:
    assert set(ENDINGS.values()) == FINAL
    assert set(CHECK_KINDS) == set(CHECK_EVENTS)
    assert all(kind.STATUSES <= ANY_STATUS for kind in EVENTS.values())
    assert [name for name, kind in EVENTS.items() if not kind.STATUSES] == ["run_initialized"]


OLDER: list[tuple[type[JournalEvent], dict[str, Any]]] = [
    (RunInitialized, {"dataset": None, "spec_file_digest": None}),
    (EngineEnded, {"actions": None, "gated": None, "dropped_messages": None}),
    (EngineLost, {"actions": None, "gated": None, "dropped_messages": None, "ended_by": None, "memory_bytes": None}),
    (TradingHalted, {"run_switch": None, "all_switch": None}),
    (RunCompleted, {"metrics": None, "engine_cost": None, "denial_reasons": None, "artifacts": None}),
    (RunInterrupted, {"paper": None, "ended_at": None, "recovered_at": None}),
    (KillSwitchObserved, {"reason": None, "problem": None, "cleared_at": None}),
]


@pytest.mark.parametrize(("kind", "missing"), OLDER, ids=lambda value: getattr(value, "EVENT", ""))
def test_an_earlier_event_without_fields_that_may_be_missing_is_read(
    kind: type[JournalEvent], missing: dict[str, Any]
) -> None:
    payload = from_json(to_json(EXAMPLES[kind].payload()))
    earlier = {name: value for name, value in payload.items() if name not in missing}
    assert decode(kind, earlier).payload().keys() == earlier.keys()


def test_an_earlier_heartbeat_without_round_trips_is_read() -> None:
    payload = from_json(to_json(EXAMPLES[PaperHeartbeat].payload()))
    del payload["heartbeat"]["order_round_trips_ms"]
    assert decode(PaperHeartbeat, payload).heartbeat.order_round_trips_ms == ()


def test_a_field_of_a_later_version_is_ignored_and_a_field_of_another_type_is_not() -> None:
    payload = from_json(to_json(EXAMPLES[RunStarted].payload()))
    assert decode(RunStarted, {**payload, "later": 1}) == EXAMPLES[RunStarted]
    for wrong in ({"owner": 7}, {"owner": {**payload["owner"], "later": 1}}, {}):
        with pytest.raises(ValueError):  # noqa: PT011  (of pydantic, with texts of its own)
            decode(RunStarted, wrong)


def test_only_the_events_that_a_reader_needs_are_decoded() -> None:
    def line(name: str) -> Event:
        return Event(seq=7, time=AT, event=name, payload={"no": "owner"}, prev=None)

    kinds = {"engine_ended": EngineEnded}
    assert recorded(line("run_started"), kinds).event is None
    assert recorded(line("of_a_later_version"), kinds).event is None
    with pytest.raises(ValueError):  # noqa: PT011
        recorded(line("engine_ended"), kinds)


def test_the_payload_has_the_given_fields_and_no_others() -> None:
    assert list(RunStarted(owner=OWNER).payload()) == ["owner"]
    assert RunCompleted(result_digest=None).payload() == {"result_digest": None}
    changed = FeedStateChanged(
        number=1, feed="bars", from_state="live", to="silent", noticed_after_seconds=1.0, age_seconds=None
    )
    assert list(changed.payload()) == ["number", "feed", "from", "to", "noticed_after_seconds", "age_seconds"]
    later = changed.model_copy(update={"engine_number": 2}).payload()
    assert list(later)[-1] == "engine_number"
    assert from_json(to_json(EXAMPLES[EngineLost].payload()))["failure"] == FAILURE.model_dump()


def test_the_fields_of_a_halt_keep_the_order_of_each_writer() -> None:
    results = ["metrics", "engine_cost", "denial_reasons", "artifacts"]
    backtest = RunHalted(**RESULTS, ended_by="kill_switch", halt=HALT)
    assert list(backtest.payload()) == [*results, "ended_by", "halt"]
    of_paper = RunHalted(paper=PAPER, halt=HALT, ended_by="kill_switch", result_digest=None)
    assert list(of_paper.payload()) == ["paper", "halt", "ended_by", "result_digest"]
    recovered = of_paper.model_copy(update={"ended_at": None, "recovered_at": AT})
    expected = ["paper", "halt", "result_digest", "ended_by", "ended_at", "recovered_at"]
    assert list(recovered.payload()) == expected
    without_results = RunHalted(
        halt=HALT, ended_by="kill_switch", result_digest=None, ended_at=AT, recovered_at=AT
    ).payload()
    assert list(without_results) == expected[1:]


def test_a_switch_in_an_event_is_the_safety_of_the_metadata() -> None:
    assert KillSwitchObserved.of(SAFETY).safety() == SAFETY
    assert list(KillSwitchObserved.of(SAFETY).payload()) == list(SAFETY.model_dump())
