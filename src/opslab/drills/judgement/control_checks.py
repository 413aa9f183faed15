"""Premises that the control pass has to show: without the fault nothing deviates, and nothing is detected. Pure."""

from collections.abc import Iterator

from opslab.drills.judgement.evidence import Evidence, check
from opslab.drills.judgement.outcome import outcome_checks
from opslab.model.checks.drill import Check, DrillDefinition, PassHistory


def control_checks(definition: DrillDefinition, control: PassHistory | None) -> Iterator[Check]:
    if control is None:
        yield check("control pass", "unknown", "there was none", "control", is_premise=True)
        return
    evidence = Evidence(control)
    yield evidence.steady_before(definition.probes)
    yield from evidence.continuous(definition.probes, ("edge", "continuous"))
    steady, stopped = evidence.mark("steady"), evidence.mark("stopped")
    for number, step in enumerate(definition.steps):
        if steady is None:
            break
        absent = [("injected", step.injected)] if step.injected else []
        if step.reacts_to_stimulus:
            line = evidence.find(step.recovered, steady.seq)
            yield check(
                f"{step.name}: recovered",
                "pass" if line else "fail",
                step.recovered.text if line else f"never: {step.recovered.text}",
                "control",
                step=number,
                seq=line.seq if line else None,
                is_premise=True,
            )
        else:
            absent.append(("detected", step.detected))
        for name, signal in absent:
            line = evidence.find(signal, steady.seq, stopped.seq + 1 if stopped else None)
            text = f"occurred without the fault: {signal.text}" if line else "nothing"
            yield check(
                f"{step.name}: not {name}",
                "fail" if line else "pass",
                text,
                "control",
                step=number,
                seq=line.seq if line else None,
                is_premise=True,
            )
    yield from outcome_checks(definition, control, definition.control_statuses)
