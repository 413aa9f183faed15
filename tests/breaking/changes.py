"""Changes to the files of a finished run, made without the lab."""

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
"""Leftovers of a process that died while it wrote a derived file, a check or the next seal."""
JOURNAL = "journal.jsonl"
_CHECK = b'","event":"connectivity_probe_evaluated","payload":{"state":"probe_ok","of":{"n":1'
Edit = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """`apply` changes a run's folder. A finding must name `file`; without `is_finding` the run must stay whole.

    is_harmless: a finding names it, and the run is whole: a dead process may have left it.
    """

    name: str
    file: str
    apply: Callable[[Path, random.Random], None]
    is_finding: bool = True
    is_harmless: bool = False
    is_located: bool = False
    """The finding must give the right line and byte."""
    is_random: bool = False
    """It is random, and is repeated for the requested number of trials."""


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
    index, other_index = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[index], lines[other_index] = lines[other_index], lines[index]
    return b"".join(lines)


def append_byte(data: bytes, rng: random.Random) -> bytes:
    """Any byte except the first of a check's event: a dead process may have left that, see `_appended_to_journal`."""
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
    """Edit a file; if the random edit changed nothing, flip a byte. An empty file gets one byte."""
    path = folder / file
    before = path.read_bytes()
    after = edit(before, rng) if before else b"x"
    path.write_bytes(after if after != before else flip(before, rng))


def changes_of(run: Path) -> Iterator[Change]:
    """All changes of the files of this run."""
    names = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    lines_file = next(name for name in names if name.startswith("manifest") and name.endswith(".lines"))
    for name in names:
        if name not in DERIVED:
            yield from _content_changes(run, name, is_located=name not in (MANIFEST, lines_file))
            yield from _file_type_changes(name)
    for name in DERIVED:
        yield Change(f"delete {name}", name, _deleting(name), is_finding=False)
        yield from _file_type_changes(name)
    for name in DERIVED[1:]:
        yield Change(f"edit {name}", name, _editing(name, append_line), is_finding=False)
    yield from _metadata_changes(json.loads((run / "metadata.json").read_bytes()))
    yield from _added_entries()
    yield from _appended_to_journal(len((run / JOURNAL).read_bytes().splitlines()) + 1)
    yield from _folder_changes(sorted({Path(name).parent.as_posix() for name in names} - {"."}))
    yield Change("whitespace in manifest.json", MANIFEST, _respace, is_random=True)
    yield Change("forge the journal, its chain whole", JOURNAL, lambda folder, _rng: _forge(folder))


def _content_changes(run: Path, name: str, is_located: bool) -> Iterator[Change]:
    for title, edit in EDITS.items():
        yield Change(f"{title} of {name}", name, _editing(name, edit), is_located=is_located, is_random=True)
    yield Change(f"delete {name}", name, _deleting(name))
    other_name = "metrics.json" if name != "metrics.json" else JOURNAL
    if (run / other_name).read_bytes() != (run / name).read_bytes():
        yield Change(
            f"{name} gets what {other_name} holds",
            name,
            lambda folder, _rng: _put(folder, name, (folder / other_name).read_bytes()),
        )


def _file_type_changes(name: str) -> Iterator[Change]:
    """Replace the file by something else."""

    def link(folder: Path, _rng: random.Random) -> None:
        copy = folder.parent.parent / "copy"
        shutil.copy(folder / name, copy)
        (folder / name).unlink()
        (folder / name).symlink_to(copy)

    def replacement(maker: Callable[[Path], Any]) -> Callable[[Path, random.Random], None]:
        def replace(folder: Path, _rng: random.Random) -> None:
            (folder / name).unlink()
            maker(folder / name)

        return replace

    yield Change(f"a link to an equal copy as {name}", name, link)
    yield Change(f"a link to nothing as {name}", name, replacement(lambda path: path.symlink_to("nothing")))
    yield Change(f"a folder as {name}", name, replacement(Path.mkdir))
    yield Change(f"a pipe as {name}", name, replacement(os.mkfifo))


def _editing(name: str, edit: Edit) -> Callable[[Path, random.Random], None]:
    return lambda folder, rng: edited(folder, name, edit, rng)


def _metadata_changes(document: dict[str, Any]) -> Iterator[Change]:
    """Each value changed to another of its type; and content that is not metadata at all."""
    for key_path in _leaf_paths(document, ()):
        yield Change(f"metadata says another {'.'.join(map(str, key_path))}", DERIVED[0], _setting(key_path))
    for title, data in (("empty", b""), ("no JSON", b"{"), ("another shape", b"[]\n"), ("binary", b"\xff\x00")):
        yield Change(f"metadata is {title}", DERIVED[0], _putting(DERIVED[0], data))


def _leaf_paths(value: Any, key_path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaf_paths(below, (*key_path, key))
    else:
        yield key_path


def _setting(key_path: tuple[str | int, ...]) -> Callable[[Path, random.Random], None]:
    def change(folder: Path, _rng: random.Random) -> None:
        document = json.loads((folder / DERIVED[0]).read_bytes())
        container = document
        for key in key_path[:-1]:
            container = container[key]
        container[key_path[-1]] = _other_value(container[key_path[-1]])
        _put(folder, DERIVED[0], (json.dumps(document, indent=2) + "\n").encode())

    return change


def _other_value(value: Any) -> Any:
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


def _added_entries() -> Iterator[Change]:
    """Files of any name, including names that look like the lab's own."""
    for name in (
        "extra.txt", ".hidden", "extra.jsonl", "logs/extra.log", "inputs/extra.py", "inputs/.hidden",
        "manifest.json.bak", "manifest-99.json", "manifest-99.lines", "manifest-1.json", *LEFTOVERS,
        ".orders.jsonl.tmp", "journal-torn-at-1.bin", "partial-orders.jsonl", "report.txt", "new/deep/file",
    ):  # fmt: skip
        is_harmless = name in LEFTOVERS
        yield Change(f"add {name}", name, _putting(name, b"x\n"), is_harmless=is_harmless)
        yield Change(f"add an empty {name}", name, _putting(name, b""), is_harmless=is_harmless)
    yield Change("add a folder", "extra", lambda folder, _rng: (folder / "extra").mkdir())
    yield Change("add a hidden folder", ".extra", lambda folder, _rng: (folder / ".extra").mkdir())
    yield Change("add a folder in logs", "logs/extra", lambda folder, _rng: (folder / "logs" / "extra").mkdir())
    yield Change("add a link", "extra", lambda folder, _rng: (folder / "extra").symlink_to(JOURNAL))
    yield Change("add a pipe", "extra", lambda folder, _rng: os.mkfifo(folder / "extra"))


def _appended_to_journal(number: int) -> Iterator[Change]:
    """Append bytes without a newline: the start of a check's event is a leftover, anything else is a change.

    number: number of the next line.
    """
    event_start = b'{"seq":%d,"time":"2026-01-01T00:00:00.000000Z' % number + _CHECK
    for length in (1, 8, 30, 60, 100, len(event_start)):
        yield _appending(f"the first {length} bytes of a check's event", event_start[:length], is_harmless=True)
    for title, data in (
        ("a space and the beginning of a check's event", b" " + event_start),
        ("the beginning of a check's event with another number", event_start.replace(b'"seq":', b'"seq":1')),
        ("the beginning of another event", event_start.replace(b"connectivity_probe_evaluated", b"order_event")),
        ("the beginning of a check's event, spaced", event_start.replace(b'":', b'": ')),
        ("a check's event that is no line's beginning", event_start + b"}}}"),
        ("a check's event after another line", event_start + b'}},"prev":"sha256:' + b"0" * 64 + b'"}'),
        ("zeros", b"\x00" * 512),
        ("the beginning of a check's event and zeros", event_start + b"\x00" * 512),
    ):
        yield _appending(title, data, is_harmless=False)

    def cut(data: bytes, rng: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        return data + lines[rng.randrange(len(lines))][: rng.randrange(12, 60)]

    yield Change("the journal gets the beginning of one of its lines", JOURNAL, _editing(JOURNAL, cut), is_random=True)


def _appending(title: str, data: bytes, is_harmless: bool) -> Change:
    change = _editing(JOURNAL, lambda before, _rng: before + data)
    return Change(f"the journal gets {title}", JOURNAL, change, is_harmless=is_harmless, is_located=not is_harmless)


def _folder_changes(names: list[str]) -> Iterator[Change]:
    for name in names:

        def link(folder: Path, _rng: random.Random, name: str = name) -> None:
            copy = folder.parent.parent / "copies"
            shutil.copytree(folder / name, copy)
            shutil.rmtree(folder / name)
            (folder / name).symlink_to(copy)

        yield Change(f"delete folder {name}", name, _deleting(name))
        yield Change(f"a link to an equal copy as folder {name}", name, link)


def _respace(folder: Path, rng: random.Random) -> None:
    """A manifest with other bytes and the same content."""
    data = (folder / MANIFEST).read_bytes()
    at = rng.choice([number for number, byte in enumerate(data) if byte == ord(" ") and data[number - 1] in b" \n"])
    _put(folder, MANIFEST, data[:at] + b"\t" + data[at + 1 :])


def _forge(folder: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["event"] == "run_completed":
            event["payload"]["metrics"]["fills_count"] += 1

    rewrite_journal(folder, change)
