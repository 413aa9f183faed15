"""Ways to change a finished run behind the lab's back."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.breaking.forged import rewrite_journal

DERIVED = ("metadata.json", "report.md", "report.html")
MANIFEST = "manifest.json"
LEFTOVERS = (
    ".metadata.json.1.tmp", ".manifest-2.lines.1.tmp", "manifest-2.lines", ".connectivity_probe-1.json.1.tmp",
    "connectivity_probe-1.json",
)  # fmt: skip
"""What a process leaves of a derived file, of a check or of a next seal, when it dies over it."""
JOURNAL = "journal.jsonl"
_CHECK = b'","event":"connectivity_probe_evaluated","payload":{"state":"probe_ok","of":{"n":1'
Edit = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """`make` changes a run's folder. `file` must then be named, unless `found` is false: then all is well.

    harmless: it is named, and the run is whole: a dead process can have left it.
    """

    name: str
    file: str
    make: Callable[[Path, random.Random], None]
    found: bool = True
    harmless: bool = False
    located: bool = False
    """The finding must give the right line and byte."""
    times: bool = False
    """It depends on chance, and is made as often as is wanted."""


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def change_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = b'{"changed": %d}\n' % rng.randrange(10**6)
    return b"".join(lines)


def drop_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def repeat_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def exchange_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def append_byte(data: bytes, rng: random.Random) -> bytes:
    """Any but the one with which a check's event begins: that a dying process can have left, see `_behind_journal`."""
    return data + bytes([rng.choice([byte for byte in range(256) if byte != ord("{")])])


def append_line(data: bytes, _rng: random.Random) -> bytes:
    return data + b"one more\n"


EDITS: dict[str, Edit] = {
    "flip-a-byte": flip,
    "truncate": truncate,
    "change-a-line": change_line,
    "drop-a-line": drop_line,
    "repeat-a-line": repeat_line,
    "exchange-lines": exchange_lines,
    "append-a-byte": append_byte,
    "append-a-line": append_line,
}


def edited(folder: Path, file: str, edit: Edit, rng: random.Random) -> None:
    """Edit a file; where chance changed nothing, a byte is flipped. An empty file gets something to hold."""
    path = folder / file
    before = path.read_bytes()
    after = edit(before, rng) if before else b"x"
    path.write_bytes(after if after != before else flip(before, rng))


def changes_of(run: Path) -> Iterator[Change]:
    """Everything that can be done to the files of this run."""
    names = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    lines_file = next(name for name in names if name.startswith("manifest") and name.endswith(".lines"))
    for name in names:
        if name not in DERIVED:
            yield from _of_any(run, name, located=name not in (MANIFEST, lines_file))
            yield from _of_kinds(name)
    for name in DERIVED:
        yield Change(f"delete {name}", name, _deleting(name), found=False)
        yield from _of_kinds(name)
    for name in DERIVED[1:]:
        yield Change(f"edit {name}", name, _editing(name, append_line), found=False)
    yield from _of_metadata(json.loads((run / "metadata.json").read_bytes()))
    yield from _added()
    yield from _behind_journal(len((run / JOURNAL).read_bytes().splitlines()) + 1)
    yield from _of_folders(sorted({Path(name).parent.as_posix() for name in names} - {"."}))
    yield Change("whitespace in manifest.json", MANIFEST, _respace, times=True)
    yield Change("forge the journal, its chain whole", JOURNAL, lambda folder, _rng: _forge(folder))


def _of_any(run: Path, name: str, located: bool) -> Iterator[Change]:
    for title, edit in EDITS.items():
        yield Change(f"{title} of {name}", name, _editing(name, edit), located=located, times=True)
    yield Change(f"delete {name}", name, _deleting(name))
    other = "metrics.json" if name != "metrics.json" else JOURNAL
    if (run / other).read_bytes() != (run / name).read_bytes():
        yield Change(
            f"{name} gets what {other} holds",
            name,
            lambda folder, _rng: _put(folder, name, (folder / other).read_bytes()),
        )


def _of_kinds(name: str) -> Iterator[Change]:
    """Something else than a file in its place."""

    def link(folder: Path, _rng: random.Random) -> None:
        copy = folder.parent.parent / "copy"
        shutil.copy(folder / name, copy)
        (folder / name).unlink()
        (folder / name).symlink_to(copy)

    def make(maker: Callable[[Path], Any]) -> Callable[[Path, random.Random], None]:
        def replace(folder: Path, _rng: random.Random) -> None:
            (folder / name).unlink()
            maker(folder / name)

        return replace

    yield Change(f"a link to an equal copy as {name}", name, link)
    yield Change(f"a link to nothing as {name}", name, make(lambda path: path.symlink_to("nothing")))
    yield Change(f"a folder as {name}", name, make(Path.mkdir))
    yield Change(f"a pipe as {name}", name, make(os.mkfifo))


def _editing(name: str, edit: Edit) -> Callable[[Path, random.Random], None]:
    return lambda folder, rng: edited(folder, name, edit, rng)


def _of_metadata(document: dict[str, Any]) -> Iterator[Change]:
    """Each value in it, changed to another of its kind; and what is no metadata at all."""
    for place in _leaves(document, ()):
        yield Change(f"metadata says another {'.'.join(map(str, place))}", DERIVED[0], _saying(place))
    for title, data in (("empty", b""), ("no JSON", b"{"), ("another shape", b"[]\n"), ("binary", b"\xff\x00")):
        yield Change(f"metadata is {title}", DERIVED[0], _putting(DERIVED[0], data))


def _leaves(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*place, key))
    else:
        yield place


def _saying(place: tuple[str | int, ...]) -> Callable[[Path, random.Random], None]:
    def change(folder: Path, _rng: random.Random) -> None:
        document = json.loads((folder / DERIVED[0]).read_bytes())
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = _another(holder[place[-1]])
        _put(folder, DERIVED[0], (json.dumps(document, indent=2) + "\n").encode())

    return change


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return "x" if value is None else [*value, "x"] if isinstance(value, list) else {"x": 1}


def _deleting(name: str) -> Callable[[Path, random.Random], None]:
    def delete(folder: Path, _rng: random.Random) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return delete


def _putting(name: str, data: bytes) -> Callable[[Path, random.Random], None]:
    return lambda folder, _rng: _put(folder, name, data)


def _put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def _added() -> Iterator[Change]:
    """Files of any name, those too that look like the lab's own."""
    for name in (
        "extra.txt", ".hidden", "extra.jsonl", "logs/extra.log", "inputs/extra.py", "inputs/.hidden",
        "manifest.json.bak", "manifest-99.json", "manifest-99.lines", "manifest-1.json", *LEFTOVERS, ".orders.jsonl.tmp",
        "journal-torn-at-1.bin", "partial-orders.jsonl", "report.txt", "new/deep/file",
    ):  # fmt: skip
        harmless = name in LEFTOVERS
        yield Change(f"add {name}", name, _putting(name, b"x\n"), harmless=harmless)
        yield Change(f"add an empty {name}", name, _putting(name, b""), harmless=harmless)
    yield Change("add a folder", "extra", lambda folder, _rng: (folder / "extra").mkdir())
    yield Change("add a hidden folder", ".extra", lambda folder, _rng: (folder / ".extra").mkdir())
    yield Change("add a folder in logs", "logs/extra", lambda folder, _rng: (folder / "logs" / "extra").mkdir())
    yield Change("add a link", "extra", lambda folder, _rng: (folder / "extra").symlink_to(JOURNAL))
    yield Change("add a pipe", "extra", lambda folder, _rng: os.mkfifo(folder / "extra"))


def _behind_journal(number: int) -> Iterator[Change]:
    """Bytes without a newline: the beginning of a check's event is of one that died, anything else a change.

    number: of the next line.
    """
    begun = b'{"seq":%d,"time":"2026-01-01T00:00:00.000000Z' % number + _CHECK
    for length in (1, 8, 30, 60, 100, len(begun)):
        yield _lengthening(f"the first {length} bytes of a check's event", begun[:length], harmless=True)
    for title, data in (
        ("a space and the beginning of a check's event", b" " + begun),
        ("the beginning of a check's event with another number", begun.replace(b'"seq":', b'"seq":1')),
        ("the beginning of another event", begun.replace(b"connectivity_probe_evaluated", b"order_event")),
        ("the beginning of a check's event, spaced", begun.replace(b'":', b'": ')),
        ("a check's event that is no line's beginning", begun + b"}}}"),
        ("a check's event behind another line", begun + b'}},"prev":"sha256:' + b"0" * 64 + b'"}'),
        ("zeros", b"\x00" * 512),
        ("the beginning of a check's event and zeros", begun + b"\x00" * 512),
    ):
        yield _lengthening(title, data, harmless=False)

    def cut(data: bytes, rng: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        return data + lines[rng.randrange(len(lines))][: rng.randrange(12, 60)]

    yield Change("the journal gets the beginning of one of its lines", JOURNAL, _editing(JOURNAL, cut), times=True)


def _lengthening(title: str, data: bytes, harmless: bool) -> Change:
    change = _editing(JOURNAL, lambda before, _rng: before + data)
    return Change(f"the journal gets {title}", JOURNAL, change, harmless=harmless, located=not harmless)


def _of_folders(names: list[str]) -> Iterator[Change]:
    for name in names:

        def link(folder: Path, _rng: random.Random, name: str = name) -> None:
            copy = folder.parent.parent / "copies"
            shutil.copytree(folder / name, copy)
            shutil.rmtree(folder / name)
            (folder / name).symlink_to(copy)

        yield Change(f"delete folder {name}", name, _deleting(name))
        yield Change(f"a link to an equal copy as folder {name}", name, link)


def _respace(folder: Path, rng: random.Random) -> None:
    """Another manifest of the same meaning."""
    data = (folder / MANIFEST).read_bytes()
    at = rng.choice([number for number, byte in enumerate(data) if byte == ord(" ") and data[number - 1] in b" \n"])
    _put(folder, MANIFEST, data[:at] + b"\t" + data[at + 1 :])


def _forge(folder: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["event"] == "run_completed":
            event["payload"]["metrics"]["fills_count"] += 1

    rewrite_journal(folder, change)
