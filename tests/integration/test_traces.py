"""A run as a trace: a real receiver on loopback decodes what arrives, and the journal has the same ids and times."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from opslab.model.primitives.instant import parse_iso
from opslab.model.run.metadata import Trace
from opslab.runs.traces.export import send
from opslab.runs.traces.spans import RunSpans, Span
from tests.drivers.paper_run import PaperRun, paper_spec
from tests.drivers.tc import FIRST_DAY, Answer, Tc
from tests.drivers.trace_receiver import TraceReceiver, trace_receiver, values_of
from tests.fakes.judged_drill import judged_drill

PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "s3cr3t-of-the-receiver"
NOTE = "tc: the trace of run r1 was not exported (OTEL_EXPORTER_OTLP_ENDPOINT): "
IN_TIME = "no successful response in time"
GIVE_UP = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
"""Seconds: the exporter stops at its first or second retry."""
PROGRAM = """
import atexit, sys
atexit.register(lambda: print("LOADED", "opentelemetry" in sys.modules, file=sys.stderr))
sys.argv[0] = "tc"
from opslab.__main__ import main
main()
"""


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        yield receiver


def backtest(tc: Tc, run_id: str = "r1", **environment: Any) -> Answer:
    return tc("run", "backtest", "--spec", tc.spec(data=FIRST_DAY), "--run-id", run_id, **environment)


def trace_of(tc: Tc, run_id: str = "r1") -> Any:
    (started,) = [event for event in tc.events(run_id) if event["event"] == "run_started"]
    return started["payload"].get("trace")


def times(tc: Tc, run_id: str = "r1") -> dict[str, int]:
    """Name to time of the first such event of the journal, nanoseconds since 1970."""
    found: dict[str, int] = {}
    for event in tc.events(run_id):
        found.setdefault(event["event"], parse_iso(event["time"]))
    return found


def bounds(span: Any) -> tuple[int, int]:
    return span.start_time_unix_nano, span.end_time_unix_nano


def test_a_backtest_is_exported_after_its_seal_with_the_ids_and_times_of_its_journal(
    tc: Tc, receiver: TraceReceiver
) -> None:
    answer = backtest(tc, **receiver.environment)
    assert answer.code == 0, answer.err
    assert "trace" not in answer.err
    assert receiver.paths == ["/v1/traces"]
    root, engine = receiver.spans
    trace, at = trace_of(tc), times(tc)
    assert {span.trace_id.hex() for span in receiver.spans} == {trace["trace_id"]}
    assert (root.name, root.span_id.hex(), root.parent_span_id) == ("run backtest", trace["span_id"], b"")
    assert (engine.name, engine.parent_span_id) == ("engine", root.span_id)
    assert bounds(root) == (at["run_started"], at["run_completed"])
    assert bounds(engine) == (at["data_verified"], at["run_completed"])
    assert [(event.name, event.time_unix_nano) for event in engine.events] == [("engine_started", at["engine_started"])]
    shown = tc.json("run", "show", "r1")
    assert shown["trace"] == trace
    values = values_of(root.attributes)
    for name in ("mode", "status", "input_digest", "result_digest", "instrument", "venue", "risk_profile"):
        assert values[f"opslab.run.{name}"] == shown[name]
    assert (values["opslab.run.id"], values["opslab.run.bars_seen"]) == ("r1", 1440)
    assert root.status.code == root.status.STATUS_CODE_OK
    resource = receiver.resource()
    assert resource["service.name"] == "tradingchassis-ops-lab"
    assert resource["service.version"] == shown["lab_version"]
    assert not {"host.name", "process.pid"} & resource.keys()
    assert tc.json("run", "verify", "r1")["findings"] == []


def test_a_halted_paper_run_has_its_engine_its_fault_its_halt_and_its_reconciliations(
    tc: Tc, receiver: TraceReceiver
) -> None:
    environment = {**receiver.environment, "TRACEPARENT": f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"}
    with PaperRun(tc, paper_spec(tc, speed=60), environment=environment) as run:
        run.wait_for("reconciliation_checked")
        run.fault("delay", which="market", ms=5)
        run.wait_for("fault_started")
        tc.ok("kill", "activate", "--run-id", "pp", "--reason", SECRET, "--actor", SECRET)
        answer = run.end()
        assert answer.code == 4, answer.err
    trace, at = trace_of(tc, "pp"), times(tc, "pp")
    assert (trace["trace_id"], trace["parent_span_id"]) == (PARENT_TRACE, PARENT_SPAN)
    assert {span.trace_id.hex() for span in receiver.spans} == {PARENT_TRACE}
    spans = {span.name: span for span in receiver.spans}
    root = spans.pop("run paper")
    assert (root.span_id.hex(), root.parent_span_id.hex()) == (trace["span_id"], PARENT_SPAN)
    assert {"engine", "halt", "fault delay", "reconciliation startup"} <= spans.keys()
    assert all(span.parent_span_id == root.span_id for span in spans.values())
    assert bounds(root) == (at["run_started"], at["run_halted"])
    assert bounds(spans["engine"]) == (at["venue_started"], at.get("engine_ended", at.get("engine_lost")))
    (halted,) = [event["payload"] for event in tc.events("pp") if event["event"] == "trading_halted"]
    assert bounds(spans["halt"]) == (parse_iso(halted["activated_at"]), at["positions_flattened"])
    assert values_of(spans["halt"].attributes)["opslab.halt.flat"] is True
    assert spans["fault delay"].start_time_unix_nano == at["fault_started"]
    startup = spans["reconciliation startup"]
    assert startup.end_time_unix_nano == at["reconciliation_checked"]
    assert values_of(startup.attributes)["opslab.reconciliation.state"] == "ok"
    assert SECRET.encode() not in b"".join(request.SerializeToString() for request in receiver.requests)


def test_without_the_variables_nothing_is_loaded_and_nothing_is_recorded(tc: Tc, receiver: TraceReceiver) -> None:
    words = ("run", "backtest", "--spec", tc.spec(data=FIRST_DAY), "--run-id")

    def loaded(run_id: str, **environment: str) -> bool:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words, run_id],
            capture_output=True,
            text=True,
            env=tc.environment(environment),
            cwd=tc.home,
            check=True,
        )
        return done.stderr.partition("LOADED ")[2].strip() == "True"

    assert loaded("r1", TRACEPARENT=f"00-{PARENT_TRACE}-{PARENT_SPAN}-01") is False
    assert "trace" not in next(event for event in tc.events("r1") if event["event"] == "run_started")["payload"]
    assert tc.json("run", "show", "r1")["trace"] is None
    assert receiver.requests == []
    assert loaded("r2", **receiver.environment) is True
    assert len(receiver.requests) == 1


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("receives", "reasons"),
    [
        ("500", ["the receiver responded with HTTP 500"]),
        ("silence", [IN_TIME]),
        ("nothing", ["ConnectionError", IN_TIME]),
        ("wrong header", ["InvalidHeader"]),
    ],
)
def test_a_failed_export_is_one_note_and_changes_nothing(
    tc: Tc, receiver: TraceReceiver, receives: str, reasons: list[str]
) -> None:
    environment = {**receiver.environment, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}"}
    if receives.isdigit():
        receiver.status = int(receives)
    elif receives == "silence":
        receiver.is_silent = True
        environment |= GIVE_UP
    elif receives == "nothing":
        environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": closed_port(), **GIVE_UP}
    else:
        environment["OTEL_EXPORTER_OTLP_HEADERS"] = f"api-key={SECRET}%0Ax"
    answer = backtest(tc, **environment)
    assert answer.code == 0, answer.err
    lines = answer.err.splitlines()
    assert len(lines) == 2, answer.err
    assert lines[1] in [f"{NOTE}{reason}" for reason in reasons]
    shown = tc.json("run", "show", "r1")
    assert (shown["status"], shown["warnings"]) == ("completed", [])
    assert shown["trace"] == trace_of(tc)
    assert tc.json("run", "verify", "r1")["findings"] == []
    assert SECRET not in answer.out + answer.err
    for path in tc.home.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_the_headers_reach_the_receiver_and_no_file(tc: Tc, receiver: TraceReceiver) -> None:
    answer = backtest(tc, **receiver.environment, OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}")
    assert receiver.headers[0]["api-key"] == SECRET
    assert SECRET not in answer.out + answer.err
    files = [path for path in tc.home.rglob("*") if path.is_file()]
    assert tc.run_folder("r1") / "journal.jsonl" in files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


RAISING = """
from nautilus_trader.trading import Strategy


class Raising(Strategy):
    def on_start(self):
        raise ValueError("no such level")
"""


def test_a_run_that_failed_is_exported_and_keeps_its_exit_code(tc: Tc, receiver: TraceReceiver) -> None:
    folder = tc.home / "own"
    folder.mkdir()
    (folder / "raising.py").write_text(RAISING)
    spec = tc.own_spec(folder, {"path": "raising:Raising"}, data=FIRST_DAY)
    answer = tc("run", "backtest", "--spec", spec, "--run-id", "r1", **receiver.environment)
    assert answer.code == 1, answer.err
    root, engine = receiver.spans
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert "no such level" in root.status.message
    assert values_of(root.attributes)["error.type"] == "strategy"
    (event,) = [event for event in root.events if event.name == "exception"]
    assert "raising.py" in values_of(event.attributes)["exception.stacktrace"]
    assert str(tc.home) not in receiver.requests[0].SerializeToString().decode(errors="replace")
    assert engine.parent_span_id == root.span_id


def test_a_run_without_the_extra_has_no_trace_and_one_note(tc: Tc, receiver: TraceReceiver) -> None:
    """Another package has the name: it hides the installed one."""
    hidden = tc.home / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("")
    answer = backtest(tc, **receiver.environment, PYTHONPATH=str(hidden.parent))
    assert answer.code == 0, answer.err
    note = "tc: traces are requested, and the extra otel is not installed; hint: pip install"
    assert [line.startswith(note) for line in answer.err.splitlines()] == [True, False], answer.err
    assert trace_of(tc) is None
    assert receiver.requests == []


def test_recovery_exports_the_run_that_it_settles_once(tc: Tc, receiver: TraceReceiver) -> None:
    backtest(tc, **receiver.environment)
    receiver.requests.clear()
    folder = tc.run_folder("r1")
    trace, at = trace_of(tc), times(tc)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    ended = next(number for number, line in enumerate(lines) if b'"run_completed"' in line)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:ended]))
    for path in [*folder.glob("manifest*"), folder / "metadata.json"]:
        path.unlink()
    recovered = tc("run", "recover", "--all", **receiver.environment)
    assert recovered.code == 0, recovered.err
    root, engine = receiver.spans
    assert (root.trace_id.hex(), root.span_id.hex()) == (trace["trace_id"], trace["span_id"])
    last_seen = parse_iso(tc.json("run", "show", "r1")["ended_at"])
    assert bounds(root) == (at["run_started"], last_seen)
    assert bounds(engine) == (at["data_verified"], last_seen)
    assert (root.status.code, root.status.message) == (root.status.STATUS_CODE_ERROR, "its owner died")
    assert values_of(root.attributes)["opslab.run.ended_by"] == "owner_gone"
    for words in (("run", "recover", "--all"), ("run", "acknowledge", "r1", "--reason", "x"), ("run", "recover", "r1")):
        assert tc(*words, **receiver.environment).code == 0
    assert len(receiver.requests) == 1


def test_reproductions_and_blocked_runs_have_no_trace(tc: Tc, receiver: TraceReceiver) -> None:
    backtest(tc)
    answer = tc("run", "reproduce", "r1", "--keep", **receiver.environment)
    assert answer.code == 0, answer.err
    assert trace_of(tc, "r1-again-1") is None
    tc.ok("kill", "activate", "--run-id", "r2", "--reason", "x")
    assert backtest(tc, "r2", **receiver.environment).code == 4
    assert receiver.requests == []


TRACE = Trace(trace_id=PARENT_TRACE, span_id=PARENT_SPAN)
SPANS = RunSpans("r1", TRACE, [Span("run backtest", PARENT_SPAN, None, 1, {"opslab.run.id": "r1"}, end_ns=2)])


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, 200, None),
        ({}, 401, "the receiver responded with HTTP 401"),
        (GIVE_UP, 503, IN_TIME),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": SECRET}, 200, "MissingSchema"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": f"/{SECRET}"}, 200, None),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, 200, None),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": SECRET}, 200, None),
        ({"OTEL_RESOURCE_ATTRIBUTES": SECRET}, 200, None),
        ({"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": SECRET}, 200, "RuntimeError"),
    ],
)
def test_the_reason_has_no_value_of_the_environment_and_nothing_is_printed(
    receiver: TraceReceiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    changes: dict[str, str],
    status: int,
    reason: str | None,
) -> None:
    receiver.status = status
    for name, value in {**receiver.environment, **changes}.items():
        monkeypatch.setenv(name, value)  # the exporter reads it itself
    assert send([SPANS]) == reason
    assert capfd.readouterr() == ("", "")


def test_the_names_of_the_environment_are_those_of_the_resource(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/other/path")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=night,service.name=a")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lab-1")
    assert send([SPANS]) is None
    assert receiver.paths == ["/other/path"]
    resource = receiver.resource()
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("lab-1", "night")


@contextmanager
def dripping() -> Iterator[str]:
    """A receiver whose response never ends: a byte at a time, so that no timeout of one read ends it."""
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while not stopped.wait(0.02):
                    connection.sendall(b"x")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()


def test_a_response_that_never_ends_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        began_s = time.monotonic()
        assert send([SPANS], seconds=0.5) == "no response within 0.5 s"
        assert time.monotonic() - began_s < 5


EXPORT_DRILL = """
import sys
from opslab.lab.drill.traces import export_drill
from opslab.model.checks.drill import DrillRecord
print(export_drill(DrillRecord.model_validate_json(sys.stdin.read())))
"""


def export_of_a_drill(environment: dict[str, str]) -> str:
    """The note of the export, in a process of its own: the exporter reads the variables of its process."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    words = [sys.executable, "-c", EXPORT_DRILL]
    record = judged_drill("pass").model_dump_json()
    done = subprocess.run(
        words, input=record, capture_output=True, text=True, env={**given, **environment}, check=True, timeout=60
    )
    return done.stdout.strip()


def test_a_drill_is_a_trace_of_its_passes_and_phases(receiver: TraceReceiver) -> None:
    parent = {"TRACEPARENT": f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"}
    assert export_of_a_drill({**receiver.environment, **parent}) == "None"
    names = {span.span_id: span.name for span in receiver.spans}
    assert [(span.name, names.get(span.parent_span_id)) for span in receiver.spans] == [
        ("drill disconnect", None),
        ("pass control", "drill disconnect"),
        ("pass fault", "drill disconnect"),
        ("step connections lost", "pass fault"),
        *((name, "step connections lost") for name in ("inject", "detect", "restore", "recover")),
    ]
    root, *_, recover = receiver.spans
    assert {span.trace_id.hex() for span in receiver.spans} == {PARENT_TRACE}
    assert root.parent_span_id.hex() == PARENT_SPAN
    assert root.status.code == root.status.STATUS_CODE_OK
    assert bounds(recover)[1] - bounds(recover)[0] == 3_000_000_000


def test_a_drill_whose_trace_is_not_exported_has_one_note(receiver: TraceReceiver) -> None:
    receiver.status = 401
    note = "the trace of drill disconnect was not exported (OTEL_EXPORTER_OTLP_ENDPOINT): "
    assert export_of_a_drill(receiver.environment) == f"{note}the receiver responded with HTTP 401"
    assert export_of_a_drill({}) == "None"
    assert len(receiver.requests) == 1
