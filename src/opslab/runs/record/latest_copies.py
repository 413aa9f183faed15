"""Copies of the latest result of each kind of check, under a name without a number. They can be deleted."""

from collections.abc import Iterator
from pathlib import Path

from opslab.model.checks.check_kind import CHECKS, CheckKind, last_artifact
from opslab.model.run.manifest import SealFinding
from opslab.model.run.metadata import RunMetadata
from opslab.store.files import remove_file, write_whole, writing


def write_copy(folder: Path, kind: CheckKind, artifact: str) -> None:
    with writing(f"write {kind.plain}"):
        write_whole(folder / kind.plain, (folder / artifact).read_bytes())


def write_latest_copies(folder: Path, metadata: RunMetadata) -> None:
    """Remove a copy without a recorded check: its process died before it recorded the check."""
    last = dict(_last_artifacts(metadata))
    for kind in CHECKS:
        if kind in last:
            write_copy(folder, kind, last[kind])
        elif (folder / kind.plain).is_file():
            remove_file(folder / kind.plain)


def copy_findings(folder: Path, metadata: RunMetadata) -> Iterator[SealFinding]:
    """Copies that differ from the metadata. A missing copy is no finding."""
    last = dict(_last_artifacts(metadata))
    for kind in CHECKS:
        copy = folder / kind.plain
        if not copy.is_file():
            continue
        if kind not in last:
            yield SealFinding(kind="added", file=kind.plain, message="was added: the run has no such check")
        elif copy.read_bytes() != (folder / last[kind]).read_bytes():
            yield SealFinding(kind="changed", file=kind.plain, message=f"is not {last[kind]}, of which it is a copy")


def _last_artifacts(metadata: RunMetadata) -> Iterator[tuple[CheckKind, str]]:
    for kind in CHECKS:
        section = getattr(metadata, kind.section)
        last = last_artifact(section) if section is not None else None
        if last is not None:
            yield kind, last[0]
