"""The seal of a run: `manifest.json` with the digest of every file, `manifest-<n>.lines` to locate a change.

The derived files are not sealed: `metadata.json` and the reports can be rendered again from the journal.
"""

import hashlib
import os
import re
import stat
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zlib import crc32

from pydantic import ValidationError

from opslab.errors import Corrupt
from opslab.model.checks.check_kind import DRILLS_FOLDER, PLAIN_NAMES, is_result
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.model.run.manifest import Manifest, SealedBy, SealedFile, SealFinding
from opslab.model.run.metadata import Status
from opslab.store.files import file_digest, json_bytes, write_whole, writing
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.run_format import refuse_other_format
from opslab.store.runs.unsealed_tail import unsealed_tail

NAME = "manifest.json"
DERIVED = frozenset({"metadata.json", "report.md", "report.html"}) | PLAIN_NAMES
FOLDERS = frozenset({"logs", DRILLS_FOLDER})
"""They exist even when empty."""
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.tmp")
"""Temporary file of an atomic write."""
_CHUNK_BYTES = 1 << 20
_CHECK_BYTES = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured file: its entry of the seal, and a CRC-32 of each line."""

    sealed: SealedFile
    checks: array[int]


def lines_name(number: int) -> str:
    return f"manifest-{number}.lines"


def seal(folder: Path, status: Status, sealed_by: SealedBy, sealed_at: str, lab_version: str) -> Manifest:
    """Read every file and write its digest. An existing seal is kept beside the new one."""
    before = read_manifest(folder)
    with writing(f"seal run {folder.name}"):
        if before:
            write_whole(folder / f"manifest-{before.number}.json", (folder / NAME).read_bytes())
        number = before.number + 1 if before else 1
        measured = [_measure(folder, path) for path in _to_seal(folder, number)]
        checks = b"".join(file.checks.tobytes() for file in measured)
        write_whole(folder / lines_name(number), checks)
        unsigned = Manifest(
            run_id=folder.name,
            number=number,
            sealed_at=sealed_at,
            sealed_by=sealed_by,
            status=status,
            lab_version=lab_version,
            previous=file_digest(folder / f"manifest-{before.number}.json") if before else None,
            line_checks=DIGEST_PREFIX + hashlib.sha256(checks).hexdigest(),
            files=tuple(file.sealed for file in measured),
            seal="",
        )
        manifest = unsigned.model_copy(update={"seal": unsigned.computed_seal()})
        write_whole(folder / NAME, _rendered(manifest))
        if before:
            (folder / lines_name(before.number)).unlink(missing_ok=True)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The seal; None when it does not exist. Raises Corrupt; OtherFormat."""
    path = folder / NAME
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise _broken(folder, f"is now {_kind(mode)}, and was a file")
        written = path.read_bytes()
        manifest = Manifest.model_validate_json(written)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _broken(folder, f"cannot be read: {error.strerror}") from None
    except ValidationError:
        refuse_other_format(folder, NAME, written, "manifest_version")
        raise _broken(folder, "has invalid content") from None
    if manifest.seal != manifest.computed_seal():
        raise _broken(folder, "was changed: its digest is not that of its fields")
    if written != _rendered(manifest):
        raise _broken(folder, "was changed: the fields are those of the seal, the bytes are not")
    if manifest.run_id != folder.name:
        raise _broken(folder, f"is the seal of run {manifest.run_id}")
    if any(".." in PurePosixPath(file.path).parts or file.path.startswith("/") for file in manifest.files):
        raise _broken(folder, "lists a file outside of the run")
    return manifest


def _broken(folder: Path, problem: str) -> Corrupt:
    return Corrupt(f"run {folder.name}: {NAME} {problem}", file=NAME, problem=problem)


def _rendered(manifest: Manifest) -> bytes:
    return json_bytes(manifest.model_dump(mode="json"))


def find_leftovers(folder: Path, manifest: Manifest) -> dict[str, str]:
    """File to description, of all leftovers of a process that died while it wrote a derived file or the next seal."""
    leftovers = {
        relative: description
        for relative, mode in _entries(folder, known_folders={DRILLS_FOLDER})
        if stat.S_ISREG(mode) and (description := _leftover(folder, manifest, relative))
    }
    if description := unsealed_tail(folder, manifest).description():
        leftovers[JOURNAL] = description
    return leftovers


def _leftover(folder: Path, manifest: Manifest, relative: str) -> str | None:
    """Description of a leftover; None: not one. Another name, or another content where it is known, is no leftover."""
    copy, next_lines, last_lines = (
        f"manifest-{manifest.number}.json",
        lines_name(manifest.number + 1),
        lines_name(manifest.number - 1),
    )
    temporary = _TEMPORARY.fullmatch(relative)
    if temporary and (
        temporary["name"] in DERIVED | {NAME, copy, lines_name(manifest.number), next_lines}
        or _is_new_result(manifest, temporary["name"])
    ):
        return f"the temporary file of {temporary['name']}"
    if relative == copy and (folder / copy).read_bytes() == _rendered(manifest):
        return "a copy of the seal, for a later seal that was not written"
    if relative == next_lines:
        return "the line checks of a seal that was not written"
    if _is_new_result(manifest, relative):
        return "the result of a check that was not sealed"
    if relative == last_lines and file_digest(folder / last_lines) == _previous_line_checks(folder, manifest):
        return "the line checks of the previous seal"
    return None


def _is_new_result(manifest: Manifest, name: str) -> bool:
    """Whether it is the result of a check that is not sealed."""
    return is_result(name) and all(file.path != name for file in manifest.files)


def _previous_line_checks(folder: Path, manifest: Manifest) -> str | None:
    try:
        return Manifest.model_validate_json((folder / f"manifest-{manifest.number - 1}.json").read_bytes()).line_checks
    except (OSError, ValidationError):
        return None


def compare_to_seal(folder: Path, manifest: Manifest, progress: Callable[[int], None]) -> list[SealFinding]:
    """Every file that differs from the seal: changed and missing files by name, then added ones, then leftovers.

    progress: called with the bytes read since the last call.
    """
    leftovers = find_leftovers(folder, manifest)
    line_check_findings = _check_line_checks(folder, manifest)
    findings = [
        finding
        for file in manifest.files
        if not (file.path == JOURNAL and JOURNAL in leftovers)
        and (finding := _check_file(folder, manifest, file, not line_check_findings, progress))
    ]
    findings += line_check_findings
    findings += [
        SealFinding(kind="added", file=name, message=message)
        for name, message in _added(folder, manifest)
        if name not in leftovers
    ]
    return findings + [
        SealFinding(kind="leftover", file=name, message=f"is {description}, left by a process that died")
        for name, description in sorted(leftovers.items())
    ]


def _check_file(
    folder: Path, manifest: Manifest, file: SealedFile, has_line_checks: bool, progress: Callable[[int], None]
) -> SealFinding | None:
    """has_line_checks: whether the line checks are intact."""
    path = folder / file.path
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            return SealFinding(kind="changed", file=file.path, message=f"is now {_kind(state.st_mode)}, and was a file")
        if state.st_size == file.size_bytes and _digest(path, progress) == file.digest:
            return None
        return _locate_change(folder, manifest, file, has_line_checks)
    except (FileNotFoundError, NotADirectoryError):
        return SealFinding(kind="missing", file=file.path, message="is missing")
    except OSError as error:
        return SealFinding(kind="unreadable", file=file.path, message=f"cannot be read: {error.strerror}")


def _locate_change(folder: Path, manifest: Manifest, file: SealedFile, has_line_checks: bool) -> SealFinding:
    """Find the first difference from the sealed file: the line, and the byte at which the line begins."""
    path = folder / file.path
    size, digest = path.stat().st_size, _digest(path, lambda _size: None)
    original = next((other.path for other in manifest.files if other.digest == digest), None)
    if original and size:
        message = f"has the sealed content of {original}"
        return SealFinding(kind="changed", file=file.path, line=1, byte=0, message=message)
    if not has_line_checks:
        message = f"was changed; the position is unknown without {lines_name(manifest.number)}"
        return SealFinding(kind="changed", file=file.path, message=message)
    sealed_checks = _sealed_checks(folder, manifest, file)
    line, start, ended = 0, 0, True
    for check, length, ended in _line_checks(path):
        sealed_check = next(sealed_checks, None)
        if sealed_check is None:
            break
        line += 1
        if check != sealed_check:
            defect = "was changed" if ended or size >= file.size_bytes else "is cut off"
            return SealFinding(kind="changed", file=file.path, line=line, byte=start, message=f"line {line} {defect}")
        start += length
    if line < file.lines:
        missing = file.lines - line
        if not ended:
            message = f"line {line} lost its newline, and {missing} of {file.lines} lines are missing"
            return SealFinding(kind="changed", file=file.path, line=line, byte=size, message=message)
        message = f"ends after {line} of {file.lines} lines: {missing} missing"
        return SealFinding(kind="changed", file=file.path, line=line + 1, byte=size, message=message)
    if size < file.size_bytes:
        message = f"line {line} lost its newline"
        return SealFinding(kind="changed", file=file.path, line=max(line, 1), byte=size, message=message)
    if size == file.size_bytes:
        return SealFinding(
            kind="changed", file=file.path, message="was changed in several places; the first is unknown"
        )
    message = f"{size - file.size_bytes} bytes were added after its end"
    newline_was_missing = start > file.size_bytes  # the last line had no newline, and was continued
    at = line if newline_was_missing else line + 1
    return SealFinding(kind="changed", file=file.path, line=at, byte=file.size_bytes, message=message)


def _sealed_checks(folder: Path, manifest: Manifest, file: SealedFile) -> Iterator[int]:
    """Sealed checks of the file's lines."""
    preceding_lines = 0
    for other in manifest.files:
        if other.path == file.path:
            break
        preceding_lines += other.lines
    remaining = file.lines
    with open(folder / lines_name(manifest.number), "rb") as stream:
        stream.seek(preceding_lines * _CHECK_BYTES)
        while remaining:
            checks = array("I", stream.read(min(remaining, _CHUNK_BYTES) * _CHECK_BYTES))
            remaining -= len(checks)
            yield from checks


def _check_line_checks(folder: Path, manifest: Manifest) -> list[SealFinding]:
    name = lines_name(manifest.number)
    try:
        if not stat.S_ISREG((folder / name).lstat().st_mode):
            return [SealFinding(kind="changed", file=name, message="is no longer a file")]
        if file_digest(folder / name) == manifest.line_checks:
            return []
        return [SealFinding(kind="changed", file=name, message="differs from the seal")]
    except FileNotFoundError:
        return [SealFinding(kind="missing", file=name, message="is missing")]
    except OSError as error:
        return [SealFinding(kind="unreadable", file=name, message=f"cannot be read: {error.strerror}")]


def _measure(folder: Path, relative: str) -> Measured:
    """Compute the digest of a file and the checks of its lines, in one pass."""
    hasher, checks, size = hashlib.sha256(), array("I"), 0
    open_line: int | None = None
    with open(folder / relative, "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hasher.update(chunk)
            size += len(chunk)
            first, *others = chunk.split(b"\n")
            open_line = crc32(first, open_line or 0) if first or open_line is not None or others else None
            if others:
                checks.append(open_line or 0)
                checks.extend(map(crc32, others[:-1]))
                open_line = crc32(others[-1]) if others[-1] else None
    if open_line is not None:
        checks.append(open_line)
    sealed = SealedFile(path=relative, size_bytes=size, lines=len(checks), digest=DIGEST_PREFIX + hasher.hexdigest())
    return Measured(sealed, checks)


def _line_checks(path: Path) -> Iterator[tuple[int, int, bool]]:
    """(CRC-32 without the newline, length with it, whether it has one) of every line, read in chunks."""
    check, length = 0, 0
    with open(path, "rb") as stream:
        while piece := stream.readline(_CHUNK_BYTES):
            ended = piece.endswith(b"\n")
            check, length = crc32(piece[:-1] if ended else piece, check), length + len(piece)
            if ended:
                yield check, length, True
                check, length = 0, 0
    if length:
        yield check, length, False


def _digest(path: Path, progress: Callable[[int], None]) -> str:
    hasher = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            hasher.update(view[:size])
            progress(size)
    return DIGEST_PREFIX + hasher.hexdigest()


def _to_seal(folder: Path, number: int) -> list[str]:
    """Relative paths of all files to seal, sorted. Raises Corrupt for anything that is not a regular file."""
    excluded = DERIVED | {NAME, lines_name(number), lines_name(number - 1)}
    files = []
    for relative, mode in _entries(folder):
        if not stat.S_ISREG(mode):
            raise Corrupt(f"run {folder.name}: {relative} is {_kind(mode)} and cannot be sealed")
        if relative not in excluded:
            files.append(relative)
    return sorted(files)


def _added(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(name, message) of everything that the seal does not list."""
    known = {file.path for file in manifest.files} | DERIVED | {NAME, lines_name(manifest.number)}
    folders = {parent.as_posix() for file in manifest.files for parent in PurePosixPath(file.path).parents} | FOLDERS
    for relative, mode in sorted(_entries(folder, known_folders=folders)):
        if relative not in known:
            yield relative, f"was added: {_kind(mode)} that the seal does not list"
        elif relative in DERIVED and not stat.S_ISREG(mode):
            yield relative, f"is {_kind(mode)} instead of the derived file"


def _entries(folder: Path, known_folders: frozenset[str] | set[str] | None = None) -> Iterator[tuple[str, int]]:
    """(relative path, mode) of everything below except folders; and of folders that are not known."""
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                relative = f"{below}{entry.name}"
                mode = entry.stat(follow_symlinks=False).st_mode
                if not stat.S_ISDIR(mode):
                    yield relative, mode
                elif known_folders is None or relative in known_folders:
                    pending.append(f"{relative}/")
                else:
                    yield relative, mode


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "a file"
    if stat.S_ISLNK(mode):
        return "a link"
    return "a folder" if stat.S_ISDIR(mode) else "a special file"
