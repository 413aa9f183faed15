"""Whole-file writes and staged folders: either all of it is there, durable, or nothing."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from opslab.errors import AlreadyExists, Unwritable
from opslab.model.primitives.canonical import DIGEST_PREFIX

STAGING_PREFIX = ".staging-"

_NEXT_STEP = {
    errno.ENOSPC: "free some disk space, then try again",
    errno.EDQUOT: "free some disk space, then try again",
    errno.EROFS: "choose a writable folder with --home",
    errno.EACCES: "choose a writable folder with --home",
    errno.EPERM: "choose a writable folder with --home",
    errno.ENOTDIR: "something that is not a folder stands in the way; choose another --home",
    errno.EEXIST: "something that is not a folder stands in the way; choose another --home",
    errno.ENOLCK: "choose a folder with --home whose file system has locks (flock)",
    errno.EOPNOTSUPP: "choose a folder with --home whose file system has locks (flock)",
    errno.ENOSYS: "choose a folder with --home whose file system has locks (flock)",
    errno.EFBIG: "raise the file size limit (ulimit -f), then try again",
}


def unwritable(doing: str, error: OSError) -> Unwritable:
    """One message for a write that failed."""
    hint = _NEXT_STEP.get(error.errno or 0, "check the folder given by --home")
    return Unwritable(f"cannot {doing}: {error.strerror or error}", hint=hint)


@contextmanager
def writing(doing: str) -> Iterator[None]:
    """Turn an OSError inside into `Unwritable: cannot <doing>: <why>`."""
    try:
        yield
    except OSError as error:
        raise unwritable(doing, error) from error


def make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """The bytes alone; makes the folders above `target`."""
    make_folder(target.parent)
    shutil.copyfile(source, target)


def link_folder(link: Path, target: Path) -> None:
    """A symbolic link to a folder; makes the folders above `link`."""
    make_folder(link.parent)
    link.symlink_to(target, target_is_directory=True)


def sync_folder(path: Path) -> None:
    """Make renames and new names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make everything below durable."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_file(Path(folder) / name)
        sync_folder(Path(folder))


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` atomically: a reader sees the old bytes or the new ones.

    durable: on disk before this returns; False for what may be lost with the machine.
    """
    write_lines(path, (data,), durable=durable)


def write_lines(path: Path, chunks: Iterable[bytes], *, durable: bool = True) -> None:
    """As `write_whole`, from pieces, in bounded memory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.writelines(chunks)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105  (one spelling for the architecture test)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A document as our JSON files hold it."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of a file's bytes."""
    import hashlib

    with open(path, "rb", buffering=0) as stream:
        return DIGEST_PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def staged_folder(target: Path, what: str) -> Iterator[Path]:
    """A new folder to fill; when the block ends well it becomes `target` in one rename, otherwise it is removed.

    The folder is held by a lock, so that leftovers of a killed process can be told from work in progress.
    Raises AlreadyExists when `target` is there, at the start or by the time of the rename.
    """
    with writing(f"create {what}"):
        make_folder(target.parent)
        staging = target.parent / f"{STAGING_PREFIX}{target.name}-{os.getpid()}"
        with _locked(target.parent):  # so that no sweep sees the folder before it is held
            _sweep(target.parent)
            staging.mkdir()
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with writing(f"write {what}"):
            yield staging
            sync_tree(staging)
            if target.exists():
                raise AlreadyExists(f"{what} exists already")
            try:
                os.rename(staging, target)  # noqa: PTH104
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    raise AlreadyExists(f"{what} exists already") from None
                raise
            sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(lock)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, gone when the block ends; what a killed process left of one goes with the next."""
    with writing("make a scratch folder"):
        make_folder(parent)
        scratch = parent / f"{STAGING_PREFIX}scratch-{os.getpid()}"
        with _locked(parent):
            _sweep(parent)
            scratch.mkdir()
            lock = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def folder_names(path: Path) -> list[str]:
    """Names of the folders in `path`, sorted; none when it is not there."""
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []


def remove_file(path: Path) -> None:
    with writing(f"remove {path.name}"):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def discard_folder(path: Path) -> None:
    """Remove a folder, all of it at once as everybody else sees it, and what a killed process left of doing so."""
    gone = path.with_name(f"{STAGING_PREFIX}{path.name}-gone")
    with writing(f"remove {path.name}"):
        remove_folder(gone)
        with suppress(FileNotFoundError):
            os.rename(path, gone)  # noqa: PTH104
            sync_folder(path.parent)
        remove_folder(gone)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove staging folders whose maker is gone."""
    for found in parent.glob(f"{STAGING_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(found, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(found, ignore_errors=True)
            finally:
                os.close(lock)
