"""Files of candles: found in folders, looked at, streamed, whatever their kind."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from opslab.datasets.candles import Chunk
from opslab.datasets.sources import columnar_source, csv_source
from opslab.datasets.sources.source import COLUMNAR_SUFFIXES, SUFFIXES, Source, SourceOptions
from opslab.errors import BadData, NotFound, Usage
from opslab.model.primitives.ids import shown

MAX_FILES = 10_000
_KINDS = f"candle files end in {', '.join(SUFFIXES)}"


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and those of a known kind below folders, sorted by path. Raises NotFound, BadData."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if is_known(file) and file.is_file() and not hidden(file, path)
            )
            if not inside:
                raise BadData(f"{shown(str(path), 200)}: no candle files in this folder", hint=_KINDS)
            found += inside
        elif not path.exists():
            raise NotFound(f"file {shown(str(path), 200)} not found")
        elif not path.is_file():
            raise BadData(f"{shown(path.name)}: is not a regular file")
        elif not is_known(path):
            raise BadData(f"{shown(path.name)}: not a kind of file this reads", hint=_KINDS)
        else:
            found.append(path)
    if len(found) > MAX_FILES:
        raise Usage(f"{len(found)} files are more than {MAX_FILES}", hint="import them in parts")
    return found


def is_known(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def describe_files(paths: Sequence[Path], reading: SourceOptions) -> list[Source]:
    """Every file looked at, in the order of their first candles; names tell files of one name apart."""
    files = find_files(paths)
    plain = [path.name for path in files]
    sources = []
    for path in files:
        name = path.name if plain.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        sources.append(describe_file(path, name if name.isprintable() else shown(name), reading))
    return sorted(sources, key=lambda source: (source.first_open_ms, source.name))


def describe_file(path: Path, name: str, reading: SourceOptions) -> Source:
    if path.name.lower().endswith(COLUMNAR_SUFFIXES):
        return columnar_source.describe_file(path, name, reading)
    return csv_source.describe_file(path, name, reading)


def chunks(source: Source) -> Iterator[Chunk]:
    """The candles of a file, in its order. Raises Malformed; OSError with an errno when the disk fails."""
    return columnar_source.chunks(source) if source.columnar else csv_source.chunks(source)
