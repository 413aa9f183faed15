"""Find, describe and stream candle files of every format."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from opslab.datasets.candles import Chunk
from opslab.datasets.sources import columnar_source, csv_source
from opslab.datasets.sources.source import COLUMNAR_SUFFIXES, SUFFIXES, Source, SourceOptions
from opslab.errors import BadData, NotFound, Usage
from opslab.model.primitives.ids import shown

MAX_FILES = 10_000
_FORMATS = f"candle files end in {', '.join(SUFFIXES)}"


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The given files, and the candle files below given folders, sorted by path. Raises NotFound, BadData."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if is_known(file) and file.is_file() and not hidden(file, path)
            )
            if not inside:
                raise BadData(f"{shown(str(path), 200)}: no candle files in this folder", hint=_FORMATS)
            files += inside
        elif not path.exists():
            raise NotFound(f"file {shown(str(path), 200)} not found")
        elif not path.is_file():
            raise BadData(f"{shown(path.name)}: is not a regular file")
        elif not is_known(path):
            raise BadData(f"{shown(path.name)}: not a candle file format", hint=_FORMATS)
        else:
            files.append(path)
    if len(files) > MAX_FILES:
        raise Usage(f"{len(files)} files are more than {MAX_FILES}", hint="import them in parts")
    return files


def is_known(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def describe_files(paths: Sequence[Path], options: SourceOptions) -> list[Source]:
    """Describe every file, in the order of their first candles. Files with equal names get their folder's name too."""
    files = find_files(paths)
    names = [path.name for path in files]
    sources = []
    for path in files:
        name = path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        sources.append(describe_file(path, name if name.isprintable() else shown(name), options))
    return sorted(sources, key=lambda source: (source.first_open_ms, source.name))


def describe_file(path: Path, name: str, options: SourceOptions) -> Source:
    if path.name.lower().endswith(COLUMNAR_SUFFIXES):
        return columnar_source.describe_file(path, name, options)
    return csv_source.describe_file(path, name, options)


def chunks(source: Source) -> Iterator[Chunk]:
    """The candles of a file, in its order. Raises MalformedSource; OSError with an errno if the disk fails."""
    return columnar_source.chunks(source) if source.columnar else csv_source.chunks(source)
