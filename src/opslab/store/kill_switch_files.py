"""Files of the kill switch's folder: replaced atomically; on a full disk an empty file remains, which is active.

Every access uses the folder's own descriptor, follows no link and reads regular files only. Standard library only,
because activation must not depend on other packages.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from opslab.store.files import make_folder
from opslab.store.layout import Layout
from opslab.store.lock import take_lock

FOLDER = "kill_switch"
MAX_BYTES = 64 << 10
"""Far longer than any state; a longer file is invalid."""
_LOCK = ".lock"
_SPARE = ".spare"
"""An empty file. On a file system without a free inode it becomes the empty state."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_NO_WAIT = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Never wait: a pipe in the place of a file would block its reader."""

Identity = tuple[int, int, int]
"""Of a file: inode, mtime (ns), size. It changes with every write and every replacement."""


FolderIdentity = tuple[int, int]
"""Device and inode."""


class StateFile(NamedTuple):
    """A file under a name. All three None: there is no such file."""

    data: bytes | None
    problem: str | None
    """Why the data cannot be read."""
    identity: Identity | None


class SwitchFolder:
    """The open folder; a context manager, which closes it. Failures are raised as OSError."""

    def __init__(self, descriptor: int) -> None:
        self._folder = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)

    def identity(self) -> FolderIdentity:
        state = os.fstat(self._folder)
        return state.st_dev, state.st_ino

    def read_file(self, name: str) -> StateFile:
        """Never raises: an unreadable file has a `problem`."""
        try:
            descriptor = os.open(name, os.O_RDONLY | _NO_WAIT, dir_fd=self._folder)
        except FileNotFoundError:
            return StateFile(None, None, None)
        except OSError as error:
            return StateFile(None, describe_error(error), self._identity(name))
        try:
            state = os.fstat(descriptor)
            identity = _identity_of(state)
            if not stat.S_ISREG(state.st_mode):
                return StateFile(None, "is not a regular file", identity)
            data = _read(descriptor)
        except OSError as error:
            return StateFile(None, describe_error(error), self._identity(name))
        finally:
            os.close(descriptor)
        return StateFile(data, None, identity) if len(data) <= MAX_BYTES else StateFile(None, "is too long", identity)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._folder))  # noqa: PTH208  (a descriptor has no Path)

    @contextmanager
    def pinned(self, name: str) -> Iterator[None]:
        """During the block, the inode of the current file is not reused for another file."""
        descriptor: int | None = None
        with suppress(OSError):
            descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextmanager
    def locked(self, patience_seconds: float) -> Iterator[bool]:
        """Lock the folder, within that time; yields whether it was locked."""
        descriptor: int | None = None
        with suppress(OSError):
            descriptor = self._open(_LOCK, os.O_RDWR | os.O_CREAT)
        try:
            is_locked = False
            with suppress(OSError):
                is_locked = descriptor is not None and take_lock(descriptor, patience_seconds)
            yield is_locked
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def stage(self, data: bytes, *, durable: bool = True) -> str:
        """Write a temporary file, if `durable` on disk before this returns; returns its name, for `replace`."""
        name = f".{os.getpid()}-{os.urandom(6).hex()}.tmp"
        try:
            descriptor = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                _write(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            self.remove(name)
            raise
        return name

    def replace(self, staged: str, name: str) -> None:
        """Rename the staged file over any existing one. Raises FileNotFoundError when the staged file is missing."""
        os.replace(staged, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def write_empty(self, name: str) -> None:
        """Write an empty file under the name. It needs no free block, and with the spare file no free inode."""
        try:
            descriptor = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            self.replace(_SPARE, name)
            return
        with suppress(OSError):
            os.fsync(descriptor)
        os.close(descriptor)

    def touch(self, name: str) -> None:
        """Change the file's identity; needs no disk space."""
        state = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        os.utime(name, ns=(state.st_atime_ns, state.st_mtime_ns + 1), dir_fd=self._folder, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove the file; errors are ignored."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._folder)

    def sync(self, name: str = "") -> None:
        """Make new names durable; with a name, first the content of that file."""
        if name:
            descriptor = os.open(name, os.O_RDONLY | _NO_WAIT, dir_fd=self._folder)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        os.fsync(self._folder)

    def append(self, name: str, line: bytes) -> None:
        """Append a line, newline included; after the torn end of a crash it starts a new line."""
        descriptor = self._open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if state.st_size and os.pread(descriptor, 1, state.st_size - 1) != b"\n":
                line = b"\n" + line
            _write(descriptor, line)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def create_spare_files(self) -> None:
        """Create the lock file and the spare file, before the disk is full."""
        for name in (_LOCK, _SPARE):
            os.close(self._open(name, os.O_WRONLY | os.O_CREAT))

    def _open(self, name: str, flags: int) -> int:
        descriptor = os.open(name, flags | _NO_WAIT, _FILE_MODE, dir_fd=self._folder)
        if flags & os.O_CREAT:
            _restrict(descriptor, _FILE_MODE)
        return descriptor

    def _identity(self, name: str) -> Identity | None:
        with suppress(OSError):
            return _identity_of(os.stat(name, dir_fd=self._folder, follow_symlinks=False))
        return None


def open_folder(layout: Layout, *, make: bool = False) -> SwitchFolder | None:
    """The folder; None when it does not exist. Raises OSError when it cannot be opened, or is not a folder.

    make: create it if it is missing, and make it private to its user.
    """
    path = layout.runtime / FOLDER
    if make:
        make_folder(layout.runtime)
        with suppress(FileExistsError):
            path.mkdir(_FOLDER_MODE)
            path.chmod(_FOLDER_MODE)  # past the umask
            _sync(layout.runtime)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        _refuse_dangling(layout.home, layout.runtime)
        return None
    if make:
        _restrict(descriptor, _FOLDER_MODE)
    return SwitchFolder(descriptor)


def describe_error(error: OSError) -> str:
    """Description of an error for messages: the predicate of a sentence."""
    if error.errno == errno.ELOOP:
        return "is a link"
    if error.errno == errno.ENOTDIR:
        return "is not a folder"
    return f"cannot be read: {error.strerror or error}"


def _refuse_dangling(*folders: Path) -> None:
    """Raises OSError for a dangling link, as to an unmounted disk: it does not prove that there is no switch."""
    for folder in folders:
        if folder.is_symlink() and not folder.exists():
            raise OSError(errno.ENOTDIR, f"{folder.name} is a dangling link")


def _restrict(descriptor: int, mode: int) -> None:
    """Set the mode, whatever the umask; ignored when the file has another owner."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with suppress(OSError):
            os.fchmod(descriptor, mode)


def _sync(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _identity_of(state: os.stat_result) -> Identity:
    return state.st_ino, state.st_mtime_ns, state.st_size


def _read(descriptor: int) -> bytes:
    """Read at most `MAX_BYTES` and one more byte."""
    data = b""
    while len(data) <= MAX_BYTES and (piece := os.read(descriptor, MAX_BYTES + 1 - len(data))):
        data += piece
    return data


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
