"""The trace of a drill: its passes and phases, with the times of its record."""

from opslab.drills.spans import spans_of_drill
from opslab.model.checks.drill import Check, PassHistory, StepTimes, Verdict
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.metadata import Trace
from opslab.runs.traces.spans import Span
from tests.fakes.judged_drill import FAULT, STEP, TIMES, at, judged_drill

TRACE = Trace(trace_id="a" * 32, span_id="b" * 16, parent_span_id="c" * 16)
BEGIN_NS = parse_iso(at(0))


def drill(
    verdict: Verdict, times: StepTimes = TIMES, *checks: Check, fault: PassHistory | None = FAULT
) -> dict[str, tuple[Span, tuple[float, float]]]:
    """Name of a span to itself and its times, seconds since the drill began."""
    spans = spans_of_drill(judged_drill(verdict, times, *checks, fault=fault), TRACE).spans
    assert len({span.span_id for span in spans}) == len(spans)
    return {
        span.name: (span, ((span.start_ns - BEGIN_NS) / NS_PER_SECOND, (span.end_ns - BEGIN_NS) / NS_PER_SECOND))
        for span in spans
    }


def test_a_drill_has_its_passes_and_the_phases_of_its_steps() -> None:
    found = drill("pass")
    assert {name: times for name, (_, times) in found.items()} == {
        "drill disconnect": (0, 26),
        "pass control": (1, 5),
        "pass fault": (6, 25),
        f"step {STEP}": (10, 20),
        "inject": (10, 11),
        "detect": (10, 12),
        "restore": (12, 15),
        "recover": (15, 18),
    }
    root, _ = found["drill disconnect"]
    assert (root.span_id, root.parent_id, root.is_ok, root.error) == (TRACE.span_id, TRACE.parent_span_id, True, None)
    names = {span.span_id: name for name, (span, _) in found.items()}
    assert {name: names[span.parent_id] for name, (span, _) in found.items() if span.parent_id in names} == {
        "pass control": "drill disconnect",
        "pass fault": "drill disconnect",
        f"step {STEP}": "pass fault",
        **dict.fromkeys(("inject", "detect", "restore", "recover"), f"step {STEP}"),
    }
    assert found["pass fault"][0].attributes["opslab.run.id"] == "f1"


def test_a_fault_that_is_not_detected_is_an_error_until_the_step_was_settled() -> None:
    check = Check(name=f"{STEP}: detected", verdict="fail", text="never: x", pass_kind="fault", bound=1.0)
    times = TIMES.model_copy(update={"detected_at": None, "recovered_at": None})
    found = drill("fail", times, check)
    detect, seconds = found["detect"]
    assert (detect.error, seconds, detect.attributes["opslab.drill.bound_seconds"]) == ("never: x", (10, 20), 1.0)
    assert found["drill disconnect"][0].error == f"fail: {STEP}: detected"
    assert not found["drill disconnect"][0].is_ok


def test_a_drill_that_stopped_before_the_fault_has_no_phases() -> None:
    assert list(drill("unknown", TIMES, fault=None)) == ["drill disconnect", "pass control"]
    assert "inject" not in drill("unknown", StepTimes(step=STEP))
