"""What children print: kept, without this machine's paths, in bounded size."""

from collections.abc import Callable
from pathlib import Path

from opslab.store.files import write_whole, writing

ENGINE_LOG = "engine.log"
KEPT_BYTES = 4 << 20
"""Of the beginning, and again of the end."""


class BoundedLog:
    """A log in the making: its beginning goes to the file at once, of the rest only the end is kept, in memory."""

    def __init__(self, path: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._path = path
        self._kept = kept_bytes
        self._room = kept_bytes
        self._end = bytearray()
        self._left_out = 0
        with writing(f"write {path.name}"):
            self._stream = open(path, "wb", buffering=0)  # noqa: SIM115  (closed by close)

    def write(self, data: bytes) -> None:
        now, later = data[: self._room], data[self._room :]
        if now:
            with writing(f"write {self._path.name}"):
                self._stream.write(now)
            self._room -= len(now)
        if later:
            self._end += later
            if len(self._end) > 2 * self._kept:  # now and then, not at every word
                self._shorten()

    def close(self) -> None:
        self._shorten()
        with writing(f"write {self._path.name}"), self._stream:
            if self._left_out:
                self._stream.write(f"\n... {self._left_out} bytes left out ...\n".encode())
            self._stream.write(self._end)
        self._end.clear()

    def _shorten(self) -> None:
        too_many = max(0, len(self._end) - self._kept)
        self._left_out += too_many
        del self._end[:too_many]


def redact_log(path: Path, clean: Callable[[str], str]) -> None:
    """Rewrite a log cleaned; remove it when it is empty. Nothing is done when there is none."""
    if not path.is_file():
        return
    with writing(f"write {path.name}"):
        data = path.read_bytes()
        if data:
            write_whole(path, clean(data.decode(errors="replace")).encode())
        else:
            path.unlink()
