"""Logs of child processes: bounded in size, without this machine's paths."""

import re
from collections.abc import Callable
from pathlib import Path

from opslab.store.files import write_whole, writing

ENGINE_LOG = "engine.log"
"""Of a restarted engine `engine-<n>.log`."""
KEPT_BYTES = 4 << 20
"""Size of the stored beginning, and of the stored end."""
_OMITTED = re.compile(rb"^\.\.\. (\d+) bytes omitted \.\.\.$", re.MULTILINE)


class BoundedLog:
    """A log being written: its beginning goes directly to the file; of the rest only the end is kept, in memory."""

    def __init__(self, path: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._path = path
        self._kept_bytes = kept_bytes
        self._remaining_bytes = kept_bytes
        self._end = bytearray()
        self._omitted_bytes = 0
        with writing(f"write {path.name}"):
            self._stream = open(path, "wb", buffering=0)  # noqa: SIM115  (closed by close)

    def write(self, data: bytes) -> None:
        first, rest = data[: self._remaining_bytes], data[self._remaining_bytes :]
        if first:
            with writing(f"write {self._path.name}"):
                self._stream.write(first)
            self._remaining_bytes -= len(first)
        if rest:
            self._end += rest
            if len(self._end) > 2 * self._kept_bytes:  # rarely, not at every write
                self._shorten()

    @property
    def omitted_bytes(self) -> int:
        """Dropped between beginning and end; after `close` final."""
        return self._omitted_bytes

    def close(self) -> None:
        self._shorten()
        with writing(f"write {self._path.name}"), self._stream:
            if self._omitted_bytes:
                self._stream.write(f"\n... {self._omitted_bytes} bytes omitted ...\n".encode())
            self._stream.write(self._end)
        self._end.clear()

    def _shorten(self) -> None:
        excess_bytes = max(0, len(self._end) - self._kept_bytes)
        self._omitted_bytes += excess_bytes
        del self._end[:excess_bytes]


def engine_logs(logs: Path) -> list[Path]:
    """The logs of a run's engines, the first one first."""
    return sorted(logs.glob("engine*.log"), key=lambda path: (len(path.name), path.name))


def read_log(path: Path) -> tuple[bytes, int | None]:
    """A stored log and the number of omitted bytes; None: its writer died, and its end with it."""
    data = path.read_bytes()
    omitted = _OMITTED.search(data, KEPT_BYTES)
    if omitted:
        return data, int(omitted[1])
    return data, None if len(data) == KEPT_BYTES else 0


def redact_log(path: Path, redact: Callable[[str], str]) -> None:
    """Rewrite a log redacted; remove it when it is empty. Does nothing when it does not exist."""
    if not path.is_file():
        return
    with writing(f"write {path.name}"):
        data = path.read_bytes()
        if data:
            write_whole(path, redact(data.decode(errors="replace")).encode())
        else:
            path.unlink()
