"""Atomic writes: a file or folder is complete, or absent."""

import threading
from pathlib import Path

import pytest

from opslab.errors import AlreadyExists, Unwritable
from opslab.store.files import staged_folder, write_lines, write_whole, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stage_half(target: Path) -> None:
    with staged_folder(target, "it") as folder:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_whole(path, b"old")

    def broken() -> object:
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_lines(path, broken())  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["record.json"]


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "r1"
    with pytest.raises(KeyboardInterrupt):
        stage_half(target)
    assert names(tmp_path / "runs") == []
    with staged_folder(target, "run r1") as folder:
        (folder / "whole").write_text("x")
        assert not target.exists()
    assert names(target) == ["whole"]


def test_a_name_can_be_used_once(tmp_path: Path) -> None:
    """Twenty threads want one name, again and again: one gets it each time."""
    for number in range(20):
        target = tmp_path / str(number)
        got: list[str] = []
        barrier = threading.Barrier(5)

        def take(target: Path = target, got: list[str] = got, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                with staged_folder(target.with_name(target.name), "x") as folder:
                    (folder / "mark").write_text("x")
            except (AlreadyExists, Unwritable):
                got.append("refused")
            else:
                got.append("taken")

        threads = [threading.Thread(target=take) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got.count("taken") == 1, got
        assert (target / "mark").exists()


def test_staging_of_a_killed_process_is_removed_by_the_next_call(tmp_path: Path) -> None:
    leftover = tmp_path / "runs" / ".staging-r0-999999"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("x")
    with staged_folder(tmp_path / "runs" / "r1", "run r1"):
        pass
    assert names(tmp_path / "runs") == ["r1"]


def test_staging_in_progress_is_not_removed(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "runs" / "r1", "run r1") as first:
        with staged_folder(tmp_path / "runs" / "r2", "run r2"):
            pass
        assert first.is_dir()
    assert names(tmp_path / "runs") == ["r1", "r2"]


def test_an_error_of_the_disk_becomes_exit_code_5() -> None:
    with pytest.raises(Unwritable) as caught, writing("write it"):
        raise OSError(28, "No space left on device")
    assert caught.value.exit_code == 5
    assert caught.value.hint
