"""The seal: findings and their locations; locks, partial rows and differences."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.errors import Corrupt, Environment, Unwritable
from opslab.model.primitives.difference import differences
from opslab.model.run.manifest import SealFinding
from opslab.store.runs.owner import is_held, owned
from opslab.store.runs.run_folders import RowsFile, clear_temporary_files
from opslab.store.runs.seal import compare_to_seal, read_manifest, seal

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12)


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def sealed(folder: Path, files: dict[str, bytes]) -> Path:
    put(folder, files)
    seal(folder, "completed", "run", "2026-01-01T00:00:00.000000Z", "0")
    return folder


def findings(folder: Path) -> list[SealFinding]:
    manifest = read_manifest(folder)
    assert manifest is not None
    return compare_to_seal(folder, manifest, lambda _size: None)


@settings(max_examples=150)
@given(LINES, st.booleans(), LINES, st.booleans())
def test_the_first_line_that_differs_is_named(
    was: list[bytes], closed: bool, now: list[bytes], closed_now: bool
) -> None:
    """Any content against any other: the place is in the first line that is not the same."""
    before = b"\n".join(was) + (b"\n" if closed and was else b"")
    after = b"\n".join(now) + (b"\n" if closed_now and now else b"")
    with tempfile.TemporaryDirectory() as name:
        folder = sealed(Path(name) / "r1", {"a.txt": b"x\ny\n", "f.txt": before, "g.txt": b"z"})
        (folder / "f.txt").write_bytes(after)
        all_findings = findings(folder)
    if before == after:
        assert all_findings == []
        return
    (one,) = all_findings
    assert (one.kind, one.file) == ("changed", "f.txt")
    first = next(
        (n for n, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), min(len(before), len(after))
    )
    starts = [0, *(n + 1 for n, byte in enumerate(after) if byte == 10)]
    if one.message.startswith("has the sealed content"):
        assert (one.line, one.byte) == (1, 0)
        return
    assert one.byte is not None
    assert one.line is not None
    assert one.byte <= first
    assert starts[one.line - 1] <= one.byte if one.line <= len(starts) else one.byte == len(after)
    ends = dict(pairwise(starts))
    begin = starts[min(one.line, len(starts)) - 1]
    assert first <= ends.get(begin, len(after)), "the change is in that line or at its end"


def test_a_cut_in_front_of_a_newline_is_in_the_line_that_lost_it(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"one\ntwo\nthree\n"})
    (folder / "a.txt").write_bytes(b"one\ntwo")
    assert [(finding.line, finding.byte) for finding in findings(folder)] == [(2, 7)]


@pytest.mark.parametrize("spoil", ["missing", "link", "folder", "fifo", "added", "hidden", "empty folder"])
def test_a_replaced_file_is_named(tmp_path: Path, spoil: str) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\n", "logs/b.txt": b"b\n"})
    victim = folder / "logs/b.txt"
    copy = Path(shutil.copy(victim, tmp_path / "copy"))
    if spoil in ("missing", "link", "folder", "fifo"):
        victim.unlink()
    actions: dict[str, Callable[[], object]] = {
        "link": lambda: victim.symlink_to(copy),
        "folder": lambda: victim.mkdir(),
        "fifo": lambda: os.mkfifo(victim),
        "added": lambda: put(folder, {"logs/c.txt": b""}),
        "hidden": lambda: put(folder, {".x.tmp": b""}),
        "empty folder": lambda: (folder / "more").mkdir(),
    }
    if spoil in actions:
        actions[spoil]()
    (finding,) = findings(folder)
    names = {"added": ("added", "logs/c.txt"), "hidden": ("added", ".x.tmp"), "empty folder": ("added", "more")}
    kinds = {"missing": "missing"}
    assert (finding.kind, finding.file) == names.get(spoil, (kinds.get(spoil, "changed"), "logs/b.txt"))


def test_a_seal_that_was_changed_or_is_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\n"})
    text = (folder / "manifest.json").read_text()
    for wrong in (text.replace('"lines": 1', '"lines": 2'), text[:-20], "", "[]", text.replace("  ", " "), text + "\n"):
        (folder / "manifest.json").write_text(wrong)
        with pytest.raises(Corrupt):
            read_manifest(folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(Corrupt):
        read_manifest(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(text)
    other = folder.rename(tmp_path / "r2")
    with pytest.raises(Corrupt, match="r1"):
        read_manifest(other)


def test_without_line_checks_the_changed_file_is_still_named(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\nb\n"})
    (folder / "a.txt").write_bytes(b"a\nc\n")
    (folder / "manifest-1.lines").unlink()
    assert [(finding.kind, finding.file, finding.line) for finding in findings(folder)] == [
        ("changed", "a.txt", None),
        ("missing", "manifest-1.lines", None),
    ]


def test_derived_files_are_not_sealed_and_their_temporary_files_are_leftovers(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\n", "report.md": b"x", "metadata.json": b"{}"})
    (folder / "report.md").unlink()
    put(folder, {"report.html": b"y", ".metadata.json.123.tmp": b"", "metadata.json": b"[]"})
    assert [(finding.kind, finding.file) for finding in findings(folder)] == [("leftover", ".metadata.json.123.tmp")]


def test_only_files_of_an_unfinished_seal_are_leftovers(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\n"})
    first, first_lines = (folder / "manifest.json").read_bytes(), (folder / "manifest-1.lines").read_bytes()
    seal(folder, "completed", "run", "2026-01-02T00:00:00.000000Z", "0")
    second = (folder / "manifest.json").read_bytes()
    put(folder, {"manifest-1.lines": first_lines, "manifest-2.json": second, "manifest-3.lines": b""})
    assert {(finding.kind, finding.file) for finding in findings(folder)} == {
        ("leftover", "manifest-1.lines"),
        ("leftover", "manifest-2.json"),
        ("leftover", "manifest-3.lines"),
    }
    put(folder, {"manifest-1.lines": b"more", "manifest-2.json": first, "manifest-4.lines": b""})
    assert {(finding.kind, finding.file) for finding in findings(folder)} == {
        ("added", "manifest-1.lines"),
        ("added", "manifest-2.json"),
        ("added", "manifest-4.lines"),
        ("leftover", "manifest-3.lines"),
    }


def test_a_result_is_a_leftover_until_it_is_sealed(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "r1", {"a.txt": b"a\n", "connectivity_probe-1.json": b"{}\n"})
    put(folder, {f".connectivity_probe-{number}.json.7.tmp": b"{" for number in (1, 2)})
    put(folder, {"connectivity_probe-2.json": b"{}\n", ".connectivity_probe-2.txt.7.tmp": b""})
    assert {(finding.kind, finding.file) for finding in findings(folder)} == {
        ("added", ".connectivity_probe-1.json.7.tmp"),
        ("added", ".connectivity_probe-2.txt.7.tmp"),
        ("leftover", ".connectivity_probe-2.json.7.tmp"),
        ("leftover", "connectivity_probe-2.json"),
    }


def test_special_files_are_not_sealed(tmp_path: Path) -> None:
    put(tmp_path, {"a.txt": b"a\n"})
    (tmp_path / "b.txt").symlink_to("a.txt")
    with pytest.raises(Corrupt, match=r"b\.txt"):
        seal(tmp_path, "completed", "run", "2026-01-01T00:00:00.000000Z", "0")


def test_a_run_has_one_owner(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with owned(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(Environment), owned(tmp_path):
            pass
    assert not is_held(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_without_file_locks_a_run_is_refused_with_a_message(tmp_path: Path, number: int) -> None:
    def no_lock(_descriptor: int, _patience_seconds: float) -> bool:
        raise OSError(number, os.strerror(number))

    with pytest.raises(Unwritable) as refused, owned(tmp_path, no_lock):
        raise AssertionError("it is ours")
    assert refused.value.exit_code == 5
    assert refused.value.message == f"cannot lock {tmp_path.name}: {os.strerror(number)}"
    assert ("locks" in str(refused.value.hint)) == (number != errno.EIO)


def test_partial_rows_keep_their_complete_lines(tmp_path: Path) -> None:
    put(tmp_path, {".orders.jsonl.tmp": b'{"a":1}\n{"b":2}\n{"c', ".fills.jsonl.tmp": b'{"a', ".x.json.9.tmp": b"?"})
    put(tmp_path, {".inputs.tmp/code.json": b"{}", "positions.jsonl": b"{}\n"})
    clear_temporary_files(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "partial-orders.jsonl": b'{"a":1}\n{"b":2}\n',
        "positions.jsonl": b"{}\n",
    }


def test_rows_are_partial_until_they_are_committed(tmp_path: Path) -> None:
    rows = RowsFile(tmp_path, "orders")
    rows.add({"n": 1})
    rows.keep_partial()
    assert (tmp_path / "partial-orders.jsonl").read_text() == '{"n":1}\n'
    other = RowsFile(tmp_path, "fills")
    other.add({"n": 1})
    other.commit()
    other.keep_partial()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fills.jsonl", "partial-orders.jsonl"]


def test_differences_are_listed_field_by_field() -> None:
    before = {"a": {"b": 1, "c": True}, "d": None, "e": "x"}
    after = {"a": {"b": 2, "c": True}, "d": "new"}
    assert [finding.model_dump() for finding in differences(before, after)] == [
        {"field": "a.b", "before": "1", "after": "2"},
        {"field": "d", "before": None, "after": "new"},
        {"field": "e", "before": "x", "after": None},
    ]
