"""Checks that are kept with a run: what each is called in the journal, among the artifacts, and in the metadata."""

import re
from dataclasses import dataclass

from opslab.model.event import LifecycleName


@dataclass(frozen=True, slots=True)
class CheckKind:
    event: LifecycleName
    stem: str
    """`<stem>-<n>.json` is the artifact of the nth check, `<stem>.json` a copy of the last one."""
    section: str
    """Of the metadata."""

    @property
    def plain(self) -> str:
        return f"{self.stem}.json"

    def numbered(self, number: int) -> str:
        return f"{self.stem}-{number}.json"


READINESS = CheckKind("connectivity_readiness_evaluated", "connectivity_readiness", "connectivity_readiness")
PROBE = CheckKind("connectivity_probe_evaluated", "connectivity_probe", "connectivity_probe")
RECONCILIATION = CheckKind("reconciliation_checked", "reconciliation_result", "reconciliation")
CHECKS = (READINESS, PROBE, RECONCILIATION)
CHECK_EVENTS: dict[str, CheckKind] = {kind.event: kind for kind in CHECKS}
PLAIN_NAMES = frozenset(kind.plain for kind in CHECKS)
_NUMBERED = re.compile(rf"({'|'.join(kind.stem for kind in CHECKS)})-([1-9][0-9]{{0,5}})\.json")


def is_numbered(name: str) -> bool:
    """Whether a file is named as a check's artifact."""
    return _NUMBERED.fullmatch(name) is not None
