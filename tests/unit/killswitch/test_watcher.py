"""The watch over a running run's kill switch: what it calls, once, and by which way it came to know."""

import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inotify_simple import INotify

from opslab.killswitch.state import Switch
from opslab.killswitch.switch import activate, clear, prepare
from opslab.killswitch.watcher import SwitchWatch
from opslab.model.primitives.ids import RunId
from opslab.store.kill_switch_files import SwitchFolder
from opslab.store.layout import Layout
from opslab.system import SystemClock

R1 = RunId("r1")
PATIENCE_SECONDS = 100.0
CLOCK = SystemClock()


class EngineReport:
    """What a watch called, and when."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[Switch, float]] = queue.SimpleQueue()

    def __call__(self, switch: Switch) -> None:
        self.calls.put((switch, time.monotonic()))

    def one(self) -> tuple[Switch, float]:
        return self.calls.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    prepare(found)
    return found


@pytest.fixture(params=[False, True], ids=["told by the kernel", "polled"])
def watching(
    request: pytest.FixtureRequest, layout: Layout
) -> Iterator[Callable[[], tuple[SwitchWatch, EngineReport]]]:
    begun: list[SwitchWatch] = []

    def begin() -> tuple[SwitchWatch, EngineReport]:
        heard = EngineReport()
        watch = SwitchWatch(layout, R1, heard, polls=request.param)
        watch.start()
        begun.append(watch)
        return watch, heard

    yield begin
    for watch in begun:
        watch.close()


Watching = Callable[[], tuple[SwitchWatch, EngineReport]]


@pytest.mark.parametrize("whose", [R1, None], ids=["its own", "all runs"])
def test_an_activation_is_called_once(watching: Watching, layout: Layout, whose: RunId | None) -> None:
    watch, heard = watching()
    activate(layout, whose, "odd", "ann", CLOCK)
    switch, _ = heard.one()
    assert (switch.state, switch.run_id, switch.reason) == ("active", whose, "odd")
    activate(layout, whose, "again", "bob", CLOCK)
    watch._thread.join(PATIENCE_SECONDS)
    assert heard.calls.empty()


def test_nobody_waits_for_the_disk(watching: Watching, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is durable when the command returns, and acted upon before."""
    _, heard = watching()
    told: list[Switch] = []
    sync = SwitchFolder.sync

    def slow(folder: SwitchFolder, name: str = "") -> None:
        told.append(heard.one()[0])
        sync(folder, name)

    monkeypatch.setattr(SwitchFolder, "sync", slow)
    activate(layout, R1, "odd", "ann", CLOCK)
    assert [switch.reason for switch in told] == ["odd"]


def test_what_was_active_before_it_stood_is_called_too(watching: Watching, layout: Layout) -> None:
    activate(layout, R1, "odd", "ann", CLOCK)
    assert watching()[1].one()[0].reason == "odd"


def test_neither_another_run_nor_a_clear_is_of_concern(watching: Watching, layout: Layout) -> None:
    activate(layout, R1, "odd", "ann", CLOCK)
    clear(layout, R1, "fine", "ann", CLOCK)
    watch, heard = watching()
    activate(layout, RunId("r2"), "odd", "ann", CLOCK)
    clear(layout, RunId("r2"), "fine", "ann", CLOCK)
    clear(layout, R1, "still fine", "ann", CLOCK)
    watch.close()
    watch._wake = os.eventfd(0)  # the fixture closes it once more
    assert heard.calls.empty()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _replace(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.mkdir()


def _remove_and_make(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _link(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.symlink_to("away")


def _file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _move_runtime(folder: Path) -> None:
    folder.parent.rename(folder.parent.with_name("away"))


def _forbid(folder: Path) -> None:
    folder.chmod(0)


def _torn(folder: Path) -> None:
    (folder / "torn").write_text("{")
    (folder / "torn").rename(folder / "r1.state.json")


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        (_remove, "the folder is missing"),
        (_replace, "the folder"),
        (_remove_and_make, "the folder"),
        (_link, "the folder"),
        (_file, "the folder"),
        (_move_runtime, "the folder is missing"),
        (_torn, "is not a kill-switch state"),
        pytest.param(
            _forbid,
            "the folder cannot be read",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything"),
        ),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_what_cannot_be_read_is_active(
    watching: Watching, layout: Layout, what: Callable[[Path], None], problem: str
) -> None:
    _watch, heard = watching()
    what(layout.runtime / "kill_switch")
    switch, _ = heard.one()
    assert switch.state == "active"
    assert switch.problem
    assert switch.problem.startswith(problem)


def test_a_folder_that_was_never_made_is_active(tmp_path: Path) -> None:
    heard = EngineReport()
    watch = SwitchWatch(Layout(tmp_path), R1, heard)
    watch.start()
    assert heard.one()[0].problem == "the folder is missing"
    watch.close()


def test_without_the_kernel_it_polls(layout: Layout) -> None:
    """As when a user's inotify instances are used up."""

    def refuse() -> INotify:
        raise OSError(24, "Too many open files")

    heard = EngineReport()
    watch = SwitchWatch(layout, R1, heard, open_inotify=refuse)
    watch.start()
    activate(layout, None, "odd", "ann", CLOCK)
    assert heard.one()[0].reason == "odd"
    watch.close()


def test_the_kernel_tells_sooner_than_it_looks(layout: Layout) -> None:
    """With looks an hour apart nothing but the kernel can have said it."""
    heard = EngineReport()
    watch = SwitchWatch(layout, R1, heard, check_seconds=3600.0)
    watch.start()
    activate(layout, None, "odd", "ann", CLOCK)
    assert heard.one()[0].reason == "odd"
    watch.close()
