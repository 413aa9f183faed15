"""Find the files of a user strategy without executing any of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

INSTALLED = "installed:"
MAX_FILES = 2_000
MAX_BYTES = 50 * 1024 * 1024
MAX_ENTRIES = 50_000
"""Files and folders that are visited; a spec in a home folder is refused instead of walked for minutes."""
_COVERED = frozenset({"nautilus_trader", "opslab"})
"""Packages whose version or content already is in the identity."""


class TooManyFiles(Exception):
    """Too many files, or bytes, for a strategy; the text has the limit that was exceeded."""


def collect_strategy_files(
    folder: Path,
    locations: Iterable[Path],
    excluded: Iterable[Path],
    *,
    max_files: int = MAX_FILES,
    max_entries: int = MAX_ENTRIES,
) -> dict[str, Path]:
    """All `*.py` below the spec's folder, and all files of the packages at `locations`.

    By name: relative to the spec's folder, or `installed:` and the path below the folder it is installed in.
    locations: files and folders of the strategy's modules. excluded: folders of the lab. Raises TooManyFiles.
    """
    return _bounded(_files(folder, locations, set(excluded), max_entries), max_files)


def _files(
    folder: Path, locations: Iterable[Path], excluded: set[Path], max_entries: int
) -> Iterator[tuple[str, Path]]:
    for path in _below(folder, excluded, max_entries):
        if path.suffix == ".py":
            yield path.relative_to(folder).as_posix(), path
    for location in locations:
        if location.name in _COVERED:
            continue
        base = folder if location.is_relative_to(folder) else location.parent
        prefix = "" if base == folder else INSTALLED
        for path in [location] if location.is_file() else _below(location, excluded, max_entries):
            yield f"{prefix}{path.relative_to(base).as_posix()}", path


def _below(folder: Path, excluded: set[Path], max_entries: int) -> Iterator[Path]:
    """Every file below `folder`, links followed once; no dot-folders, caches or virtual environments."""
    seen: set[tuple[int, int]] = set()
    entries = 0
    for parent, folders, files in os.walk(folder, followlinks=True):
        entries += len(folders) + len(files)
        if entries > max_entries:
            raise TooManyFiles(f"has more than {max_entries:,} files and folders below it")
        followed = []
        for name in sorted(folders):
            path = Path(parent, name)
            state = path.stat()
            if (state.st_dev, state.st_ino) in seen or path in excluded or not _is_source(path):
                continue
            seen.add((state.st_dev, state.st_ino))
            followed.append(name)
        folders[:] = followed  # `os.walk` descends into these only, in this order
        yield from (Path(parent, name) for name in sorted(files) if Path(parent, name).is_file())


def _is_source(path: Path) -> bool:
    return not (path.name.startswith(".") or path.name == "__pycache__" or (path / "pyvenv.cfg").exists())


def _bounded(files: Iterable[tuple[str, Path]], max_files: int) -> dict[str, Path]:
    """The first file of each name."""
    by_name: dict[str, Path] = {}
    size_bytes = 0
    for name, path in files:
        if name in by_name:
            continue
        by_name[name] = path
        size_bytes += path.stat().st_size
        if len(by_name) > max_files or size_bytes > MAX_BYTES:
            raise TooManyFiles(f"has more than {max_files:,} files or {MAX_BYTES >> 20} MB of source")
    return by_name
