"""The files of a user strategy that its digest covers."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from opslab.runs.planning.identity import code_parts
from opslab.runs.planning.strategy_files import TooManyFiles, collect_strategy_files


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def digest(folder: Path, locations: Sequence[Path], excluded: Sequence[Path]) -> str:
    return code_parts(collect_strategy_files(folder, locations, excluded)).digest()


def test_files_that_are_no_source_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    put(folder, "a.py", "pack/b.py")
    before = digest(folder, [], [folder / "data"])
    put(folder, ".git/x.py", "__pycache__/x.py", "venv/pyvenv.cfg", "venv/x.py", "data/x.py", "notes.md")
    assert digest(folder, [], [folder / "data"]) == before
    put(folder, "pack/c.py")
    assert digest(folder, [], [folder / "data"]) != before


def test_an_installed_package_counts_completely_and_its_location_does_not(tmp_path: Path) -> None:
    folder, left, right = tmp_path / "f", tmp_path / "one" / "pack", tmp_path / "two" / "pack"
    put(folder, "a.py")
    for package in (left, right):
        put(package, "__init__.py", "model.bin")
    digests = {digest(folder, [package], []) for package in (left, right)}
    assert len(digests) == 1
    assert set(collect_strategy_files(folder, [left], [])) == {
        "a.py",
        "installed:pack/__init__.py",
        "installed:pack/model.bin",
    }
    put(right, "more.bin")
    assert digest(folder, [right], []) not in digests


def test_links_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "real/pack/a.py", "f/b.py")
    (tmp_path / "f" / "pack").symlink_to(tmp_path / "real" / "pack")
    (tmp_path / "real" / "pack" / "again").symlink_to(tmp_path / "f")
    before = digest(tmp_path / "f", [], [])
    put(tmp_path, "real/pack/c.py")
    assert digest(tmp_path / "f", [], []) != before


def test_too_many_files_are_refused_and_not_searched_without_bound(tmp_path: Path) -> None:
    put(tmp_path, *(f"d{n}/x.txt" for n in range(5)), "a.py", "b.py", "c.py")
    with pytest.raises(TooManyFiles, match="more than 2 files"):
        collect_strategy_files(tmp_path, [], [], max_files=2)
    with pytest.raises(TooManyFiles, match="more than 7 files and folders"):
        collect_strategy_files(tmp_path, [], [], max_entries=7)
