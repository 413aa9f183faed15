"""The seal of a run: `manifest.json`, and what holding a run against it finds."""

from typing import Literal

from opslab.model.primitives.canonical import digest
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import Status


class SealedFile(Record):
    """A file as it was when the run was sealed; `path` is relative to the run's folder, with `/`."""

    path: str
    size_bytes: int
    lines: int
    """Its newlines, and one more when something stands behind the last."""
    digest: str


class Manifest(Record):
    """`manifest.json`: every file of the run but the derived ones."""

    manifest_version: Literal["v2"] = "v2"
    run_id: str
    number: int
    """1 of the first seal; each later one adds one."""
    sealed_at: str
    sealed_by: Literal["run", "recover", "check"]
    """`recover`: the run's own process was gone before it could. `check`: a later check was added to it."""
    status: Status
    lab_version: str
    previous: str | None
    """Digest of the file of the seal before this one; None of the first."""
    line_checks: str
    """Digest of `manifest-<number>.lines`."""
    files: tuple[SealedFile, ...]
    """By path."""
    seal: str
    """Digest of all the fields above, so that a changed manifest is noticed."""

    def computed_seal(self) -> str:
        """What `seal` has to be."""
        return digest(self.model_dump(mode="json", exclude={"seal"}))


Kind = Literal["changed", "missing", "added", "unreadable", "leftover"]
"""`leftover`: what a process that died left over; it changes nothing that was sealed."""
Verdict = Literal["whole", "changed", "unsealed"]


class SealFinding(Record):
    """One file that is not as the seal says. `line` counts from 1, `byte` from 0; None where there is no such place."""

    kind: Kind
    file: str
    line: int | None = None
    byte: int | None = None
    message: str


class Verification(Record):
    """One run held against its seal."""

    run_id: str
    verdict: Verdict
    status: Status | None
    """What the journal says, and its owner; None when it cannot be read."""
    findings: tuple[SealFinding, ...]
    """One for each file, the first thing first."""
    seal: str | None
    """Digest of the seal; None without one."""
    seal_number: int | None
    files: int
    """Files that were read."""
    size_bytes: int
    message: str
