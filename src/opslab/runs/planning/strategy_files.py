"""Find the files of a user strategy without executing any of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

INSTALLED = "installed:"
MAX_FILES = 2_000
MAX_BYTES = 50 * 1024 * 1024
MAX_LOOKED_AT = 50_000
"""Folder entries; a spec in a home folder is refused instead of walked for minutes."""
_COVERED = frozenset({"nautilus_trader", "opslab"})
"""Packages whose version or content already is in the identity."""


class TooMuch(Exception):
    """Too many files for a strategy; the text has the limit and what exceeded it."""


def collect_strategy_files(
    folder: Path,
    places: Iterable[Path],
    left_out: Iterable[Path],
    *,
    max_files: int = MAX_FILES,
    max_looked_at: int = MAX_LOOKED_AT,
) -> dict[str, Path]:
    """All `*.py` below the spec's folder, and all files of the packages at `places`.

    By name: relative to the spec's folder, or `installed:` and the path below the folder it is installed in.
    left_out: folders that are the lab's own. Raises TooMuch.
    """
    return _bounded(_files(folder, places, set(left_out), max_looked_at), max_files)


def _files(folder: Path, places: Iterable[Path], left_out: set[Path], max_looked_at: int) -> Iterator[tuple[str, Path]]:
    for path in _below(folder, left_out, max_looked_at):
        if path.suffix == ".py":
            yield path.relative_to(folder).as_posix(), path
    for place in places:
        base = folder if place.is_relative_to(folder) else place.parent
        prefix = "" if base == folder else INSTALLED
        if place.name in _COVERED:
            continue
        for path in [place] if place.is_file() else _below(place, left_out, max_looked_at):
            yield f"{prefix}{path.relative_to(base).as_posix()}", path


def _below(folder: Path, left_out: set[Path], max_looked_at: int) -> Iterator[Path]:
    """Every file below `folder`, links followed once; no dot-folders, caches or virtual environments."""
    seen: set[tuple[int, int]] = set()
    looked_at = 0
    for here, folders, files in os.walk(folder, followlinks=True):
        looked_at += len(folders) + len(files)
        if looked_at > max_looked_at:
            raise TooMuch(f"has more than {max_looked_at:,} files and folders below it")
        kept = []
        for name in sorted(folders):
            path = Path(here, name)
            state = path.stat()
            if (state.st_dev, state.st_ino) in seen or path in left_out or not _is_source(path):
                continue
            seen.add((state.st_dev, state.st_ino))
            kept.append(name)
        folders[:] = kept
        yield from (Path(here, name) for name in sorted(files) if Path(here, name).is_file())


def _is_source(path: Path) -> bool:
    return not (path.name.startswith(".") or path.name == "__pycache__" or (path / "pyvenv.cfg").exists())


def _bounded(files: Iterable[tuple[str, Path]], max_files: int) -> dict[str, Path]:
    found: dict[str, Path] = {}
    size = 0
    for name, path in files:
        if name in found:
            continue
        found[name] = path
        size += path.stat().st_size
        if len(found) > max_files or size > MAX_BYTES:
            raise TooMuch(f"has more than {max_files:,} files or {MAX_BYTES >> 20} MB of source")
    return found
