"""The kill switch's folder: a file in it is replaced whole, or left empty where there is no room to say more.

Everything is reached from the folder's own descriptor, no link is followed, and nothing but a plain file is read.
The standard library alone: this lies on the way to safety.
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
"""No state comes near it; what is longer is none."""
_LOCK = ".lock"
_SPARE = ".spare"
"""Empty. Where a file system has no file left to give, it becomes the empty state."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Never wait: a pipe in the place of a file would hold its reader for ever."""

Identity = tuple[int, int, int]
"""Of a file: inode, time of its content (ns), size. It is another one after every write and every replacement."""


FolderIdentity = tuple[int, int]
"""Device and inode."""


class StateFile(NamedTuple):
    """What stands under a name. All three None: nothing does."""

    data: bytes | None
    problem: str | None
    """Why there is no data."""
    identity: Identity | None


class SwitchFolder:
    """Open until the `with` block ends. What it cannot do it raises as OSError."""

    def __init__(self, descriptor: int) -> None:
        self._folder = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)

    def identity(self) -> FolderIdentity:
        state = os.fstat(self._folder)
        return state.st_dev, state.st_ino

    def look(self, name: str) -> StateFile:
        """Never raises: what cannot be read is a problem."""
        try:
            descriptor = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=self._folder)
        except FileNotFoundError:
            return StateFile(None, None, None)
        except OSError as error:
            return StateFile(None, why(error), self._identity(name))
        try:
            state = os.fstat(descriptor)
            identity = _identity_of(state)
            if not stat.S_ISREG(state.st_mode):
                return StateFile(None, "is not a plain file", identity)
            data = _read(descriptor)
        except OSError as error:
            return StateFile(None, why(error), self._identity(name))
        finally:
            os.close(descriptor)
        return StateFile(data, None, identity) if len(data) <= MAX_BYTES else StateFile(None, "is too long", identity)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._folder))  # noqa: PTH208  (a descriptor has no Path)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """While it lasts, no other file takes the inode of the one that stands there now."""
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
        """Hold the folder's lock, if it can be had in that time; whether it was."""
        descriptor: int | None = None
        with suppress(OSError):
            descriptor = self._open(_LOCK, os.O_RDWR | os.O_CREAT)
        try:
            is_held = False
            with suppress(OSError):
                is_held = descriptor is not None and take_lock(descriptor, patience_seconds)
            yield is_held
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def stage(self, data: bytes, *, durable: bool = True) -> str:
        """Write a temporary file, on disk before this returns if it is to be `durable`; its name, for `put`."""
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
            self.drop(name)
            raise
        return name

    def put(self, staged: str, name: str) -> None:
        """In the place of whatever stands there, in one step. Raises FileNotFoundError when what was staged is gone."""
        os.replace(staged, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def empty(self, name: str) -> None:
        """Leave an empty file under the name: without a free block, and with a spare without a free file too."""
        try:
            descriptor = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            self.put(_SPARE, name)
            return
        with suppress(OSError):
            os.fsync(descriptor)
        os.close(descriptor)

    def touch(self, name: str) -> None:
        """Make it another one to whoever looked before; needs no room."""
        state = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        os.utime(name, ns=(state.st_atime_ns, state.st_mtime_ns + 1), dir_fd=self._folder, follow_symlinks=False)

    def drop(self, name: str) -> None:
        """Remove it, if it is there and can be."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._folder)

    def sync(self, name: str = "") -> None:
        """Make new names durable; and first, of one of them, what is in the file."""
        if name:
            descriptor = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=self._folder)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        os.fsync(self._folder)

    def append(self, name: str, line: bytes) -> None:
        """Add a line, which ends in a newline; behind the torn end of a crash it begins a line of its own."""
        descriptor = self._open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "not a plain file")
            if state.st_size and os.pread(descriptor, 1, state.st_size - 1) != b"\n":
                line = b"\n" + line
            _write(descriptor, line)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def create_spare_files(self) -> None:
        """Lay the lock and the spare, while there is room."""
        for name in (_LOCK, _SPARE):
            os.close(self._open(name, os.O_WRONLY | os.O_CREAT))

    def _open(self, name: str, flags: int) -> int:
        descriptor = os.open(name, flags | _PLAIN, _FILE_MODE, dir_fd=self._folder)
        if flags & os.O_CREAT:
            _restrict(descriptor, _FILE_MODE)
        return descriptor

    def _identity(self, name: str) -> Identity | None:
        with suppress(OSError):
            return _identity_of(os.stat(name, dir_fd=self._folder, follow_symlinks=False))
        return None


def open_folder(layout: Layout, *, make: bool = False) -> SwitchFolder | None:
    """The folder; None when there is none. Raises OSError when it cannot be opened, or is no folder.

    make: make it where it is missing, and see to it that it is its owner's alone.
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


def why(error: OSError) -> str:
    """What is wrong with a file, in words."""
    if error.errno == errno.ELOOP:
        return "is a link"
    if error.errno == errno.ENOTDIR:
        return "is not a folder"
    return f"cannot be read: {error.strerror or error}"


def _refuse_dangling(*folders: Path) -> None:
    """A link that leads nowhere, as to a disk that is not mounted, does not say that there is nothing."""
    for folder in folders:
        if folder.is_symlink() and not folder.exists():
            raise OSError(errno.ENOTDIR, f"{folder.name} is a link that leads nowhere")


def _restrict(descriptor: int, mode: int) -> None:
    """To the owner alone, whatever the umask or whoever made it; where that is not ours to do, it stays."""
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
    """At most one byte more than a state may have."""
    data = b""
    while len(data) <= MAX_BYTES and (piece := os.read(descriptor, MAX_BYTES + 1 - len(data))):
        data += piece
    return data


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
