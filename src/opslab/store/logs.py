"""What children print: kept, without this machine's paths, in bounded size."""

import os
from collections.abc import Callable
from pathlib import Path

from opslab.store.files import write_whole, writing

KEPT_BYTES = 4 << 20


def scrub_log(path: Path, clean: Callable[[str], str]) -> None:
    """Rewrite a log cleaned, its beginning and end when it is long; remove it when it is empty."""
    with writing(f"write {path.name}"):
        size = path.stat().st_size
        if size == 0:
            path.unlink()
            return
        with open(path, "rb") as stream:
            data = stream.read(KEPT_BYTES)
            if size > 2 * KEPT_BYTES:
                data += f"\n... {size - 2 * KEPT_BYTES} bytes left out ...\n".encode()
                stream.seek(-KEPT_BYTES, os.SEEK_END)
            data += stream.read(KEPT_BYTES)
        write_whole(path, clean(data.decode(errors="replace")).encode())
