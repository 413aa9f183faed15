"""Atomic file writes and staged folders: complete and durable, or absent."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
    errno.ENOTDIR: "path exists and is not a folder; choose another --home",
    errno.EEXIST: "path exists and is not a folder; choose another --home",
    errno.ENOLCK: "choose a --home on a file system with locks (flock)",
    errno.EOPNOTSUPP: "choose a --home on a file system with locks (flock)",
    errno.ENOSYS: "choose a --home on a file system with locks (flock)",
    errno.EFBIG: "raise the file size limit (ulimit -f), then try again",
}


def unwritable(doing: str, error: OSError) -> Unwritable:
    """One message for a write that failed."""
    hint = _NEXT_STEP.get(error.errno or 0, "check the folder given by --home")
    return Unwritable(f"cannot {doing}: {error.strerror or error}", hint=hint)


@contextmanager
def writing(doing: str) -> Iterator[None]:
    """Turn an OSError in the block into `Unwritable: cannot <doing>: <reason>`."""
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
    """Make all files and folders below durable."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_file(Path(folder) / name)
        sync_folder(Path(folder))


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` atomically: a reader sees the old bytes or the new bytes.

    durable: on disk before this returns; False: a crash of the machine may lose it.
    """
    write_lines(path, (data,), durable=durable)


def write_lines(path: Path, chunks: Iterable[bytes], *, durable: bool = True) -> None:
    """As `write_whole`, from chunks, in bounded memory."""
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
    """A document in the format of the lab's JSON files."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of a file's bytes."""
    import hashlib

    with open(path, "rb", buffering=0) as stream:
        return DIGEST_PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def staged_folder(target: Path, title: str, keep_locked: ExitStack | None = None) -> Iterator[Path]:
    """A new folder to fill; after the block it becomes `target` in one rename; after an exception it is removed.

    The folder is locked, which distinguishes work in progress from leftovers of a killed process.
    keep_locked: gets the lock, so that `target` appears locked and stays so until this stack is closed.
    Raises AlreadyExists when `target` exists at the time of the rename.
    """
    with writing(f"create {title}"):
        make_folder(target.parent)
        staging = target.parent / f"{STAGING_PREFIX}{target.name}-{os.getpid()}"
        with _locked(target.parent):  # no cleanup sees the folder before it is locked
            _remove_stale_staging(target.parent)
            staging.mkdir()
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with writing(f"write {title}"):
            yield staging
            sync_tree(staging)
            if target.exists():
                raise AlreadyExists(f"{title} exists already")
            try:
                os.rename(staging, target)  # noqa: PTH104
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    raise AlreadyExists(f"{title} exists already") from None
                raise
            sync_folder(target.parent)
            if keep_locked:
                keep_locked.callback(os.close, os.dup(lock))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(lock)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, removed after the block; the next call removes one of a killed process."""
    with writing("make a scratch folder"):
        make_folder(parent)
        scratch = parent / f"{STAGING_PREFIX}scratch-{os.getpid()}"
        with _locked(parent):
            _remove_stale_staging(parent)
            scratch.mkdir()
            lock = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def folder_names(path: Path) -> list[str]:
    """Names of the folders in `path`, sorted; empty when it does not exist."""
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []


def remove_file(path: Path) -> None:
    with writing(f"remove {path.name}"):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def discard_folder(path: Path) -> None:
    """Remove a folder atomically for other processes, and the remains of an earlier removal that was killed."""
    discarded = path.with_name(f"{STAGING_PREFIX}{path.name}-gone")
    with writing(f"remove {path.name}"):
        remove_folder(discarded)
        with suppress(FileNotFoundError):
            os.rename(path, discarded)  # noqa: PTH104
            sync_folder(path.parent)
        remove_folder(discarded)


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


def _remove_stale_staging(parent: Path) -> None:
    """Remove staging folders whose process has ended."""
    for staging in parent.glob(f"{STAGING_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(staging, ignore_errors=True)
            finally:
                os.close(lock)
