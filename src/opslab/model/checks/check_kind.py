"""Kinds of checks that a run stores: their names in the journal, the artifacts and the metadata."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckKind:
    event: str
    """Its name in the journal."""
    stem: str
    """`<stem>-<n>.json` is the artifact of check n, `<stem>.json` a copy of the last one."""
    section: str
    """Name of the section of the metadata."""

    @property
    def plain(self) -> str:
        return f"{self.stem}.json"

    def numbered(self, number: int) -> str:
        return f"{self.stem}-{number}.json"

    def number_of(self, artifact: str) -> int:
        """The number in a name made by `numbered`."""
        return int(artifact.removeprefix(f"{self.stem}-").removesuffix(".json"))


READINESS = CheckKind("connectivity_readiness_evaluated", "connectivity_readiness", "connectivity_readiness")
PROBE = CheckKind("connectivity_probe_evaluated", "connectivity_probe", "connectivity_probe")
RECONCILIATION = CheckKind("reconciliation_checked", "reconciliation_result", "reconciliation")
CHECKS = (READINESS, PROBE, RECONCILIATION)
DRILL = CheckKind("failure_drill_executed", "drills/record", "failure_drill")
"""A run is of one drill at most: its record is `drills/<name of the drill>.json`, without a number or a copy."""
DRILLS_FOLDER = "drills"
CHECK_EVENTS: dict[str, CheckKind] = {kind.event: kind for kind in (*CHECKS, DRILL)}
PLAIN_NAMES = frozenset(kind.plain for kind in CHECKS)
_NUMBERED = re.compile(rf"({'|'.join(kind.stem for kind in CHECKS)})-([1-9][0-9]{{0,5}})\.json")
_DRILL_RECORD = re.compile(rf"{DRILLS_FOLDER}/[a-z][a-z0-9-]{{0,62}}\.(json|md)")


def section_of(payload: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """The section of the metadata after a check's event. previous: the section before it.

    After a check without an artifact the section still names the last artifact.
    """
    section = dict(payload)
    if payload.get("artifact") is None and previous and (last := last_artifact(previous)):
        section |= {"last_artifact": last[0], "last_digest": last[1]}
    return section


def last_artifact(section: Mapping[str, Any]) -> tuple[str, str] | None:
    """(file, digest) of the last written result; None when there is none."""
    for file, digest in (("artifact", "digest"), ("last_artifact", "last_digest")):
        if section.get(file) is not None:
            return section[file], section[digest]
    return None


def is_result(name: str) -> bool:
    """Whether the name is that of a check's artifact."""
    return _NUMBERED.fullmatch(name) is not None or _DRILL_RECORD.fullmatch(name) is not None


def drill_record(name: str) -> str:
    """The file of the record of a drill."""
    return f"{DRILLS_FOLDER}/{name}.json"
