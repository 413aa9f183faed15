"""A drill as a journal of the Chaos Toolkit, so that tools that read its journals can read ours.

The format is that of chaostoolkit-lib 1.45: `chaoslib.types.Journal`.
"""

from pydantic import JsonValue

from opslab.drills.judgement.evidence import seconds_between
from opslab.model.checks.drill import Check, DrillDefinition, DrillRecord, PassHistory

JsonObject = dict[str, JsonValue]
_STATUSES = {"completed": "completed", "aborted": "aborted", "interrupted": "interrupted"}


def chaostoolkit_journal(record: DrillRecord, host: str) -> JsonObject:
    """host: of the machine, as the journal names it."""
    judgement = record.judgement
    deviated = record.status == "completed" and judgement.verdict != "pass"
    status = "failed" if deviated else _STATUSES[record.status]
    return {
        "chaoslib-version": "1.45.0",
        "platform": "opslab",
        "node": host,
        "experiment": _experiment(record.definition),
        "start": record.started_at.rstrip("Z"),
        "end": record.ended_at.rstrip("Z"),
        "duration": seconds_between(record.started_at, record.ended_at),
        "status": status,
        "deviated": deviated,
        "steady_states": {
            "before": _steady(judgement.checks, "steady before", record.fault),
            "after": _steady(judgement.checks, "steady again", record.fault),
            "during": [
                _probe(each, record.fault)
                for each in judgement.checks
                if each.pass_kind == "fault" and each.name.endswith(" throughout")
            ],
        },
        "run": [
            {
                "activity": {"type": "action", "name": times.step},
                "start": (times.injected_at or record.started_at).rstrip("Z"),
                "end": (times.recovered_at or times.injected_at or record.ended_at).rstrip("Z"),
                "duration": seconds_between(times.injected_at, times.recovered_at)
                if times.injected_at and times.recovered_at
                else 0.0,
                "status": "succeeded" if times.injected_seq else "failed",
                "output": times.model_dump(mode="json"),
            }
            for times in judgement.times
        ],
        "rollbacks": [],
    }


def _experiment(definition: DrillDefinition) -> JsonObject:
    return {
        "version": "1.0.0",
        "title": definition.title,
        "description": definition.hypothesis,
        "tags": [definition.name],
        "steady-state-hypothesis": {
            "title": definition.hypothesis,
            "probes": [
                {
                    "type": "probe",
                    "name": probe.name,
                    "tolerance": True,
                    "provider": {"type": "python", "module": "opslab.drills.judgement.judge", "func": "judge"},
                }
                for probe in definition.probes
            ],
        },
        "method": [
            {
                "type": "action",
                "name": step.name,
                "provider": {"type": "python", "module": "opslab.drills.execution.drill_pass", "func": "DrillPass"},
            }
            for step in definition.steps
        ],
        "rollbacks": [],
    }


def _steady(checks: tuple[Check, ...], name: str, history: PassHistory | None) -> JsonObject | None:
    found = [each for each in checks if each.pass_kind == "fault" and each.name.endswith(name)]
    if not found:
        return None
    return {
        "steady_state_met": all(each.verdict == "pass" for each in found),
        "probes": [_probe(each, history) for each in found],
    }


def _probe(each: Check, history: PassHistory | None) -> JsonObject:
    at = _time_of(each.seq, history)
    return {
        "activity": {"type": "probe", "name": each.name, "tolerance": True},
        "start": at,
        "end": at,
        "duration": 0.0,
        "status": "succeeded",
        "tolerance_met": each.verdict == "pass",
        "output": each.text,
    }


def _time_of(seq: int | None, history: PassHistory | None) -> str | None:
    events = history.events if history else ()
    return next((event.time.rstrip("Z") for event in events if event.seq == seq), None)
