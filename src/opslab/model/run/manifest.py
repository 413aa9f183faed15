"""The seal of a run: `manifest.json`, and the findings of a verification against it."""

from typing import Literal

from opslab.model.primitives.canonical import digest
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import Status

SealedBy = Literal["run", "recover", "check", "acknowledge", "drill"]


class SealedFile(Record):
    """A file at the time of sealing; `path` is relative to the run's folder, with `/`."""

    path: str
    size_bytes: int
    lines: int
    """Number of newlines, plus one for text after the last newline."""
    digest: str


class Manifest(Record):
    """`manifest.json`: every file of the run except the derived ones."""

    manifest_version: Literal["v2"] = "v2"
    run_id: str
    number: int
    """1 for the first seal; plus one for each later seal."""
    sealed_at: str
    sealed_by: SealedBy
    """`recover`: the run's own process ended before it could seal. `check`, `acknowledge`: a later check or
    acknowledgement was added."""
    status: Status
    lab_version: str
    previous: str | None
    """Digest of the previous seal's file; None for the first."""
    line_checks: str
    """Digest of `manifest-<number>.lines`."""
    files: tuple[SealedFile, ...]
    """Sorted by path."""
    seal: str
    """Digest of all fields above; it shows a changed manifest."""

    def computed_seal(self) -> str:
        """The correct value of `seal`."""
        return digest(self.model_dump(mode="json", exclude={"seal"}))


FindingKind = Literal["changed", "missing", "added", "unreadable", "leftover"]
"""`leftover`: a file of a process that died; no sealed file is affected."""
SealVerdict = Literal["whole", "changed", "unsealed"]


class SealFinding(Record):
    """One file that differs from the seal. `line` counts from 1, `byte` from 0; None: no position is known."""

    kind: FindingKind
    file: str
    line: int | None = None
    byte: int | None = None
    message: str


class Verification(Record):
    """One run, verified against its seal."""

    run_id: str
    verdict: SealVerdict
    status: Status | None
    """Status by journal and owner; None when they cannot be read."""
    findings: tuple[SealFinding, ...]
    """One for each file: its first difference."""
    seal: str | None
    """Digest of the seal; None without a seal."""
    seal_number: int | None
    files: int
    """Number of verified files."""
    size_bytes: int
    message: str
