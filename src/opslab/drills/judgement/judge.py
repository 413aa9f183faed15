"""The verdict of a drill: a pure function of its definition and of the history of both passes."""

from collections.abc import Iterator, Sequence

from opslab.drills.judgement.control_checks import control_checks
from opslab.drills.judgement.evidence import Evidence, check, seconds_between
from opslab.drills.judgement.outcome import orders_in_doubt, outcome_checks
from opslab.model.checks.drill import (
    Check,
    DrillDefinition,
    DrillStatus,
    Judgement,
    KnownLimit,
    Mark,
    PassHistory,
    StepDefinition,
    StepTimes,
    Verdict,
)


def judge(
    definition: DrillDefinition, status: DrillStatus, control: PassHistory | None, fault: PassHistory | None
) -> Judgement:
    """Judge what was recorded. A drill that was aborted or interrupted is `unknown`."""
    checks = [*control_checks(definition, control), *_fault_checks(definition, fault)]
    evidence = Evidence(fault) if fault else None
    seen = definition.limits if fault and orders_in_doubt(fault) else ()
    checks = [_excused(each, seen) for each in checks]
    verdict = "unknown" if status != "completed" else _verdict(checks)
    deviated = next((each.name for each in checks if each.verdict != "pass"), None)
    times = tuple(_times(evidence, number, step) for number, step in enumerate(definition.steps)) if evidence else ()
    used = {each.limit for each in checks if each.limit}
    return Judgement(
        verdict=verdict,
        deviated_at=deviated,
        checks=tuple(checks),
        times=times,
        engine_limits=tuple(limit for limit in seen if limit.name in used),
    )


def _verdict(checks: Sequence[Check]) -> Verdict:
    """Without its premises a drill shows nothing, whatever the other checks say."""
    if any(each.is_premise and each.verdict != "pass" for each in checks):
        return "unknown"
    verdicts = {each.verdict for each in checks}
    return "fail" if "fail" in verdicts else "unknown" if "unknown" in verdicts else "pass"


def _excused(failed: Check, seen: Sequence[KnownLimit]) -> Check:
    """A check that fails because of a known limit of the engine, whose evidence is in the history, passes with it."""
    limit = next((limit for limit in seen if failed.name in limit.excuses), None)
    if failed.verdict != "fail" or limit is None:
        return failed
    return failed.model_copy(update={"verdict": "pass", "limit": limit.name})


def _fault_checks(definition: DrillDefinition, fault: PassHistory | None) -> Iterator[Check]:
    if fault is None:
        yield check("fault pass", "unknown", "the pass with the fault was not started", "fault", is_premise=True)
        return
    evidence = Evidence(fault)
    yield evidence.steady_before(definition.probes)
    for number, step in enumerate(definition.steps):
        yield from _step_checks(definition, evidence, number, step)
    yield from evidence.continuous(definition.probes, ("continuous",))
    yield from outcome_checks(definition, fault, definition.statuses)


def _step_checks(definition: DrillDefinition, evidence: Evidence, number: int, step: StepDefinition) -> Iterator[Check]:
    """Reached, injected, detected, acted, recovered, steady again."""
    begin = evidence.mark("injected", number)
    if begin is None:
        yield check(f"{step.name}: injected", "unknown", "was not injected", "fault", step=number, is_premise=True)
        return
    heartbeat = evidence.last_heartbeat(begin.seq)
    is_reached = heartbeat is not None and step.reached.matches(heartbeat.event, heartbeat.payload)
    yield check(
        f"{step.name}: reached",
        "pass" if is_reached else "unknown",
        step.reached_text if is_reached else f"not reached: {step.reached_text}",
        "fault",
        step=number,
        seq=heartbeat.seq if heartbeat else None,
        is_premise=True,
    )
    end_seq = evidence.next_injection(number)
    yield _injection_check(evidence, number, step, begin, end_seq)
    if step.min_seconds is not None:
        yield _duration_check(evidence, number, step, step.min_seconds)
    yield from _reaction_checks(evidence, number, step)
    for signal in step.also:
        line = evidence.find(signal, begin.seq, end_seq)
        text = signal.text if line else f"did not occur: {signal.text}"
        yield check(
            f"{step.name}: {signal.event}",
            "pass" if line else "fail",
            text,
            "fault",
            step=number,
            seq=line.seq if line else None,
        )
    for signal in step.never:
        line = evidence.find(signal, begin.seq, end_seq)
        text = f"occurred: {signal.text}" if line else f"did not occur: {signal.text}"
        yield check(
            f"{step.name}: no {signal.event}",
            "fail" if line else "pass",
            text,
            "fault",
            step=number,
            seq=line.seq if line else None,
        )
    if not evidence.has_ended_by(number):
        recovered_seq = _times(evidence, number, step).recovered_seq
        yield evidence.steady_after(definition.probes, number, step, recovered_seq)


def _injection_check(evidence: Evidence, number: int, step: StepDefinition, begin: Mark, end_seq: int | None) -> Check:
    """A line of the journal proves the injection, or the drill has seen its effect on the process."""
    proof = evidence.find(step.injected, begin.seq, end_seq) if step.injected else evidence.mark("delivered", number)
    missing = f"no line proves it: {step.injected.text}" if step.injected else "no process died or was stopped"
    return check(
        f"{step.name}: injected",
        "pass" if proof else "unknown",
        step.injection if proof else missing,
        "fault",
        step=number,
        seq=proof.seq if proof else None,
        is_premise=True,
    )


def _duration_check(evidence: Evidence, number: int, step: StepDefinition, min_seconds: float) -> Check:
    begin, restored = evidence.mark("injected", number), evidence.mark("restored", number)
    seconds = seconds_between(begin.at, restored.at) if begin and restored else None
    return check(
        f"{step.name}: duration of the fault",
        "pass" if seconds is not None and seconds >= min_seconds else "unknown",
        "was not restored" if seconds is None else f"{seconds:.3f} s of {min_seconds:g} s requested",
        "fault",
        step=number,
        seq=restored.seq if restored else None,
        seconds=seconds,
        is_premise=True,
    )


def _reaction_checks(evidence: Evidence, number: int, step: StepDefinition) -> Iterator[Check]:
    times, bounds = _times(evidence, number, step), step.bounds
    parts = [("detected", times.detect_seconds, times.detected_seq, bounds.detect, step.detected.text)]
    if step.acted is not None:
        parts.append(("acted", times.act_seconds, times.acted_seq, bounds.act or bounds.detect, step.acted.text))
    parts.append(("recovered", times.recover_seconds, times.recovered_seq, bounds.recover, step.recovered.text))
    for name, seconds, seq, bound, signal in parts:
        in_time = seconds is not None and seconds <= bound
        if seconds is None:
            text = f"never: {signal}"
        else:
            text = f"{signal} after {seconds:.3f} s{'' if in_time else f', allowed are {bound:g} s'}"
        yield check(
            f"{step.name}: {name}",
            "pass" if in_time else "fail",
            text,
            "fault",
            step=number,
            seq=seq,
            seconds=seconds,
            bound=bound,
        )


def _times(evidence: Evidence, number: int, step: StepDefinition) -> StepTimes:
    begin = evidence.mark("injected", number)
    if begin is None:
        return StepTimes(step=step.name)
    end_seq = evidence.next_injection(number)
    detected = evidence.find(step.detected, begin.seq, end_seq)
    acted = evidence.find(step.acted, detected.seq - 1, end_seq) if detected and step.acted else None
    restored = evidence.mark("restored", number)
    origin = begin if step.recovered_from == "injected" else restored
    last = acted or detected
    recovered = evidence.find(step.recovered, max(origin.seq, last.seq - 1), end_seq) if origin and last else None
    return StepTimes(
        step=step.name,
        injected_at=begin.at,
        detected_at=detected.time if detected else None,
        detected_by=step.detected_by if detected else None,
        acted_at=acted.time if acted else None,
        restored_at=restored.at if restored else None,
        recovered_at=recovered.time if recovered else None,
        detect_seconds=seconds_between(begin.at, detected.time) if detected else None,
        act_seconds=seconds_between(detected.time, acted.time) if detected and acted else None,
        recover_seconds=seconds_between(origin.at, recovered.time) if origin and recovered else None,
        injected_seq=_seq(evidence.find(step.injected, begin.seq, end_seq)) if step.injected else None,
        detected_seq=_seq(detected),
        acted_seq=_seq(acted),
        recovered_seq=_seq(recovered),
    )


def _seq(event: object) -> int | None:
    return getattr(event, "seq", None)
