"""Rules of the kill switch: active states, kept fields, and the limits of a clear."""

import errno
import fcntl
import json
import os
import resource
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Condition
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.errors import Environment, Refused, Unwritable, Usage
from opslab.killswitch.state import (
    MAX_REASON_CHARACTERS,
    KillSwitchRecord,
    KillSwitchState,
    Switch,
    SwitchScope,
    checked_text,
    decide,
    parse,
    rendered,
    switch_of,
)
from opslab.killswitch.switch import (
    activate,
    activate_in,
    clear,
    clear_in,
    effective,
    list_switches,
    prepare,
    read_switch,
)
from opslab.model.primitives.ids import RunId
from opslab.store.kill_switch_files import MAX_BYTES, StateFile, SwitchFolder, open_folder
from opslab.store.layout import Layout
from tests.drivers.tools import need_tools

R1 = RunId("r1")
AT = "2026-01-01T00:00:00.000000Z"
LATER = "2026-01-02T00:00:00.000000Z"
ACTIVE = KillSwitchRecord("active", "run", "r1", "odd", "ann", AT)
CLEARED = KillSwitchRecord("cleared", "run", "r1", "odd", "ann", AT, LATER, "bob", "fine")

needs_rights = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")


class Ticks:
    """A clock that goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self._now_ns = 1_767_225_600_000_000_000

    def now_ns(self) -> int:
        self._now_ns += 1_000_000_000
        return self._now_ns

    def monotonic_s(self) -> float:
        raise NotImplementedError


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "home")


def switch_folder(layout: Layout) -> Path:
    return layout.home / "runtime" / "kill_switch"


def state_file(layout: Layout, name: str = "r1") -> Path:
    return switch_folder(layout) / f"{name}.state.json"


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def events(layout: Layout, name: str = "r1") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (switch_folder(layout) / f"{name}.events.jsonl").read_bytes().splitlines()]


def opened(layout: Layout, kind: type[SwitchFolder] = SwitchFolder) -> SwitchFolder:
    assert open_folder(layout, make=True) is not None
    return kind(os.open(switch_folder(layout), os.O_RDONLY | os.O_DIRECTORY))


def changed(record: KillSwitchRecord, **fields: Any) -> bytes:
    return json.dumps({**asdict(record), **fields}).encode()


# What a file means


@pytest.mark.parametrize("record", [ACTIVE, CLEARED], ids=["active", "cleared"])
def test_written_events_are_read_back(record: KillSwitchRecord) -> None:
    assert parse(rendered(record), R1) == record
    assert switch_of(StateFile(rendered(record), None, (1, 2, 3)), R1).state == record.state


def test_a_cleared_switch_that_had_been_unreadable_knows_no_reason() -> None:
    record = KillSwitchRecord("cleared", "all", None, None, None, None, LATER, "bob", "fine")
    assert parse(rendered(record), None) == record


NOT_A_STATE = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "text": b'"cleared"',
    "binary": b"\x00\xff",
    "deep": b"[" * 60_000,
    "long number": b"1" * 10_000,
    "too long": rendered(CLEARED) + b" " * MAX_BYTES,
    "unknown state": changed(CLEARED, state="off"),
    "no state": changed(CLEARED, state=None),
    "other run": changed(CLEARED, run_id="r2"),
    "scope of all": changed(CLEARED, scope="all"),
    "of all": changed(CLEARED, scope="all", run_id=None),
    "unknown key": changed(CLEARED, more=1),
    "doubled key": rendered(CLEARED).replace(b'"state"', b'"state": "active",\n "state"', 1),
    "number for text": changed(CLEARED, reason=5),
    "empty text": changed(CLEARED, clear_reason=""),
    "no time": changed(CLEARED, cleared_at=None),
    "no clear reason": changed(CLEARED, clear_reason=None),
    "half an activation": changed(CLEARED, actor=None),
    "not a time": changed(CLEARED, cleared_at="yesterday"),
    "time of another zone": changed(CLEARED, cleared_at="2026-01-02T00:00:00.000000+01:00"),
    "nested": changed(CLEARED, reason={"a": 1}),
    "missing key": json.dumps({k: v for k, v in asdict(CLEARED).items() if k != "actor"}).encode(),
    "active and cleared": changed(CLEARED, state="active"),
    "utf-16": json.dumps(asdict(CLEARED)).encode("utf-16")[:-1],
}


@pytest.mark.parametrize("data", NOT_A_STATE.values(), ids=NOT_A_STATE.keys())
def test_an_invalid_state_is_active_and_can_be_activated_and_cleared(layout: Layout, clock: Ticks, data: bytes) -> None:
    write(state_file(layout), data)
    result = effective(layout, R1)
    assert (result.state, result.scope, result.reason) == ("active", "run", None)
    assert result.problem
    assert clear(layout, R1, "looked at", "bob", clock).switch.state == "cleared"
    write(state_file(layout), data)
    change = activate(layout, R1, "odd", "ann", clock)
    assert (change.action, change.switch.reason, change.switch.problem) == ("activated", "odd", None)


@given(st.binary(max_size=300))
def test_no_bytes_raise_and_none_of_them_let_a_run_start(data: bytes) -> None:
    assert switch_of(StateFile(data, None, (1, 1, len(data))), R1).state == "active"


@given(st.integers(0, len(rendered(CLEARED)) - 3))
def test_a_torn_file_is_active(end: int) -> None:
    assert switch_of(StateFile(rendered(CLEARED)[:end], None, (1, 1, end)), R1).state == "active"


VALUES = (
    st.none() | st.text(max_size=5) | st.integers() | st.sampled_from([AT, "active", "cleared", "run", "all", "r1"])
)


@given(st.fixed_dictionaries(dict.fromkeys(asdict(CLEARED), VALUES)))
def test_a_parsed_state_renders_to_the_same_bytes(fields: dict[str, Any]) -> None:
    result = parse(json.dumps(fields).encode(), R1)
    if isinstance(result, KillSwitchRecord):
        assert asdict(result) == fields
        assert parse(rendered(result), R1) == result
        assert (result.cleared_at is None) == (result.state == "active")


def link_to_a_cleared_state(path: Path) -> None:
    path.symlink_to(write(path.with_name("elsewhere"), rendered(CLEARED)))


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        try:
            door.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("make", [link_to_a_cleared_state, link_to_nothing, os.mkfifo, a_socket])
def test_a_special_file_is_active_and_is_replaced(layout: Layout, clock: Ticks, make: Callable[[Path], None]) -> None:
    switch_folder(layout).mkdir(parents=True)
    make(state_file(layout))
    result = effective(layout, R1)
    assert (result.state, bool(result.problem)) == ("active", True)
    assert activate(layout, R1, "odd", "ann", clock).switch.reason == "odd"
    assert state_file(layout).is_file()
    assert not state_file(layout).is_symlink()
    if make is link_to_a_cleared_state:
        assert (switch_folder(layout) / "elsewhere").read_bytes() == rendered(CLEARED)


def test_a_pipe_cannot_say_that_it_was_cleared(layout: Layout) -> None:
    switch_folder(layout).mkdir(parents=True)
    os.mkfifo(state_file(layout))
    with open(state_file(layout), "rb+", buffering=0) as pipe:
        pipe.write(rendered(CLEARED))
        assert effective(layout, R1).state == "active"


def test_a_folder_in_the_place_of_the_state_is_active_and_stays(layout: Layout, clock: Ticks) -> None:
    (state_file(layout) / "x").mkdir(parents=True)
    change = activate(layout, R1, "odd", "ann", clock)
    assert (change.switch.state, bool(change.switch.problem), len(change.notes)) == ("active", True, 1)
    with pytest.raises(Unwritable):
        clear(layout, R1, "fine", "bob", clock)
    assert effective(layout, R1).state == "active"
    assert not list(switch_folder(layout).glob(".*.tmp"))
    assert not list(switch_folder(layout).glob(".*.clearing"))


def a_file(layout: Layout) -> None:
    write(switch_folder(layout), b"")


def a_link_to_a_folder(layout: Layout) -> None:
    (layout.home / "other").mkdir(parents=True)
    layout.runtime.mkdir()
    switch_folder(layout).symlink_to(layout.home / "other")


def runtime_leads_nowhere(layout: Layout) -> None:
    layout.home.mkdir()
    layout.runtime.symlink_to("not-mounted")


def home_leads_nowhere(layout: Layout) -> None:
    layout.home.symlink_to("not-mounted")


def runtime_is_a_file(layout: Layout) -> None:
    write(layout.runtime, b"")


@pytest.mark.parametrize(
    "spoil", [a_file, a_link_to_a_folder, runtime_leads_nowhere, home_leads_nowhere, runtime_is_a_file]
)
def test_a_switch_folder_that_is_not_a_folder_is_active_and_not_writable(
    layout: Layout, clock: Ticks, spoil: Callable[[Layout], None]
) -> None:
    spoil(layout)
    for result in (effective(layout, R1), read_switch(layout, None), read_switch(layout, R1)):
        assert (result.state, result.scope, bool(result.problem)) == ("active", "all", True)
    assert list_switches(layout).problem
    for do in (activate, clear):
        with pytest.raises(Unwritable):
            do(layout, R1, "odd", "ann", clock)
    assert effective(layout, R1).state == "active"


@needs_rights
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_state_without_read_permission_is_active(layout: Layout, clock: Ticks, what: str) -> None:
    activate(layout, R1, "odd", "ann", clock)
    clear(layout, R1, "fine", "ann", clock)
    spoiled = switch_folder(layout) if what == "folder" else state_file(layout)
    spoiled.chmod(0)
    try:
        assert effective(layout, R1).state == "active"
        assert effective(layout, R1).problem
    finally:
        spoiled.chmod(0o700)
    assert effective(layout, R1).state == "cleared"


@needs_rights
def test_an_own_folder_without_write_permission_is_made_writable(layout: Layout, clock: Ticks) -> None:
    prepare(layout)
    switch_folder(layout).chmod(0o500)
    assert activate(layout, R1, "odd", "ann", clock).switch.reason == "odd"
    switch_folder(layout).chmod(0)
    with pytest.raises(Unwritable) as raised:
        activate(layout, None, "odd", "ann", clock)
    assert raised.value.hint
    switch_folder(layout).chmod(0o700)


# Kept fields, and precedence


def test_a_missing_state_is_absent_and_stays_absent(layout: Layout, clock: Ticks) -> None:
    assert effective(layout, R1).state == "absent"
    assert list_switches(layout).switches == ()
    assert clear(layout, R1, "fine", "bob", clock).action == "unchanged"
    assert not layout.home.exists()


def test_a_second_activation_keeps_reason_actor_and_time_of_the_first(layout: Layout, clock: Ticks) -> None:
    first = activate(layout, R1, "odd", "ann", clock)
    second = activate(layout, R1, "other", "bob", clock)
    assert (first.action, second.action) == ("activated", "kept")
    assert second.switch == first.switch
    assert [(line["result"], line["actor"]) for line in events(layout)] == [("activated", "ann"), ("kept", "bob")]


def test_after_a_clear_an_activation_is_a_first_one(layout: Layout, clock: Ticks) -> None:
    activate(layout, R1, "odd", "ann", clock)
    cleared = clear(layout, R1, "fine", "bob", clock).switch
    assert (cleared.state, cleared.reason, cleared.cleared_by, cleared.clear_reason) == (
        "cleared",
        "odd",
        "bob",
        "fine",
    )
    assert clear(layout, R1, "more", "cat", clock).switch == cleared
    again = activate(layout, R1, "new", "cat", clock).switch
    assert (again.state, again.reason, again.actor, again.cleared_at) == ("active", "new", "cat", None)
    assert again.activated_at
    assert cleared.cleared_at
    assert again.activated_at > cleared.cleared_at
    assert [line["result"] for line in events(layout)] == ["activated", "cleared", "unchanged", "activated"]


STATES: tuple[KillSwitchState, ...] = ("absent", "cleared", "active")


@pytest.mark.parametrize("own", STATES)
@pytest.mark.parametrize("every", STATES)
def test_active_takes_precedence_and_the_answer_names_its_scope(own: KillSwitchState, every: KillSwitchState) -> None:
    def switch(state: KillSwitchState, scope: SwitchScope) -> Switch:
        return Switch(state, scope, "r1" if scope == "run" else None, scope)

    result = decide(switch(own, "run"), switch(every, "all"))
    assert result.state == max(own, every, key=STATES.index)
    assert result.scope == ("run" if STATES.index(own) >= STATES.index(every) else "all")


def test_the_switch_of_all_runs_applies_to_every_run(layout: Layout, clock: Ticks) -> None:
    activate(layout, None, "odd", "ann", clock)
    activate(layout, R1, "mine", "ann", clock)
    assert effective(layout, RunId("r2")).file == "runtime/kill_switch/_all.state.json"
    assert effective(layout, R1).file == "runtime/kill_switch/r1.state.json"
    clear(layout, R1, "fine", "ann", clock)
    assert effective(layout, R1).scope == "all"
    clear(layout, None, "fine", "ann", clock)
    assert (effective(layout, R1).state, effective(layout, R1).scope) == ("cleared", "run")
    assert [line["scope"] for line in events(layout, "_all")] == ["all", "all"]


def test_a_listing_has_all_runs_first_and_only_switches(layout: Layout, clock: Ticks) -> None:
    for run_id in (RunId("b"), None, RunId("a.state.json")):
        activate(layout, run_id, "odd", "ann", clock)
    for name in ("bad name.state.json", "__.state.json", ".state.json", "x.json"):
        write(switch_folder(layout) / name, b"")
    assert [switch.run_id for switch in list_switches(layout).switches] == [None, "a.state.json", "b"]


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x1b[31m", "a\u202eb", "a\u2028b", "\udcff", "x" * 501])
def test_a_reason_is_one_bounded_line_of_text(text: str) -> None:
    with pytest.raises(Usage):
        checked_text("--reason", text, MAX_REASON_CHARACTERS)


@pytest.mark.parametrize("text", ["x" * 500, " zu spät, 手 ", "a\u00a0b"])
def test_any_other_text_is_a_reason(text: str) -> None:
    assert checked_text("--reason", text, MAX_REASON_CHARACTERS) == text.strip()


# Files


@pytest.mark.parametrize("umask", [0, 0o777])
def test_folder_and_files_are_private_to_their_owner(layout: Layout, clock: Ticks, umask: int) -> None:
    layout.runtime.mkdir(parents=True)
    before = os.umask(umask)
    try:
        activate(layout, R1, "odd", "ann", clock)
    finally:
        os.umask(before)
    assert stat.S_IMODE(switch_folder(layout).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in switch_folder(layout).iterdir()} == {0o600}
    assert {path.name for path in switch_folder(layout).iterdir()} == {
        ".lock",
        ".spare",
        "r1.events.jsonl",
        "r1.state.json",
    }


def test_a_folder_readable_by_others_is_made_private(layout: Layout, clock: Ticks) -> None:
    switch_folder(layout).mkdir(parents=True)
    switch_folder(layout).chmod(0o777)
    activate(layout, R1, "odd", "ann", clock)
    assert stat.S_IMODE(switch_folder(layout).stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["r1.events.jsonl", ".lock", ".spare"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_other_files_in_the_folder_cannot_stop_an_activation(
    layout: Layout, clock: Ticks, name: str, kind: str
) -> None:
    switch_folder(layout).mkdir(parents=True)
    victim = write(layout.home / "victim", b"untouched")
    path = switch_folder(layout) / name
    makers: dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(victim),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    makers[kind]()
    change = activate(layout, R1, "odd", "ann", clock)
    assert (change.switch.state, change.switch.reason) == ("active", "odd")
    assert victim.read_bytes() == b"untouched"
    assert bool(change.notes) == (name == "r1.events.jsonl" or (name == ".lock" and kind != "pipe"))


def test_a_torn_events_line_does_not_affect_other_lines(layout: Layout, clock: Ticks) -> None:
    write(switch_folder(layout) / "r1.events.jsonl", b'{"time": "2026')
    activate(layout, R1, "odd", "ann", clock)
    lines = (switch_folder(layout) / "r1.events.jsonl").read_bytes().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["result"] == "activated"


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("before", ["absent", "cleared", "corrupt"])
def test_on_a_full_disk_an_empty_file_remains_and_is_active(layout: Layout, clock: Ticks, before: str) -> None:
    prepare(layout)
    if before == "cleared":
        write(state_file(layout), rendered(CLEARED))
    elif before == "corrupt":
        write(state_file(layout), b"{")
    with no_file_may_grow():
        change = activate(layout, R1, "odd", "ann", clock)
    assert (change.switch.state, bool(change.switch.problem)) == ("active", True)
    assert state_file(layout).stat().st_size == (1 if before == "corrupt" else 0)
    assert change.notes
    assert not list(switch_folder(layout).glob(".*.tmp"))
    assert activate(layout, R1, "odd", "ann", clock).switch.reason == "odd"


def test_on_a_full_disk_an_active_switch_keeps_its_reason_and_is_not_cleared(layout: Layout, clock: Ticks) -> None:
    activate(layout, R1, "odd", "ann", clock)
    with no_file_may_grow():
        change = activate(layout, R1, "other", "bob", clock)
        with pytest.raises(Unwritable):
            clear(layout, R1, "fine", "bob", clock)
    assert (change.action, change.switch.reason, change.switch.problem) == ("kept", "odd", None)
    assert effective(layout, R1) == change.switch


@contextmanager
def small_disk(layout: Layout, options: str) -> Iterator[None]:
    need_tools("mount", "umount")
    layout.home.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(layout.home)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(layout.home)], check=True)


@pytest.mark.parametrize("full_of", ["bytes", "files"])
def test_a_really_full_disk_allows_an_activation(layout: Layout, clock: Ticks, full_of: str) -> None:
    with small_disk(layout, "size=64k" if full_of == "bytes" else "size=1m,nr_inodes=12"):
        prepare(layout)
        with suppress(OSError):
            for number in range(100):
                (layout.home / str(number)).write_bytes(b"x" * 4096 if full_of == "bytes" else b"")
        with pytest.raises(OSError, match="No space left"):
            (layout.home / "more").write_bytes(b"x" * 4096)
        change = activate(layout, R1, "odd", "ann", clock)
        assert (change.switch.state, state_file(layout).stat().st_size) == ("active", 0)
        assert effective(layout, R1).state == "active"


# Who wins when an activation and a clear meet


class Meddled(SwitchFolder):
    """Does something of somebody else's just before the nth of its calls."""

    calls = 0
    at = 0

    @staticmethod
    def meddle() -> None:
        raise NotImplementedError

    def _next(self) -> None:
        kind = type(self)
        kind.calls += 1
        if kind.calls == kind.at:
            kind.meddle()

    def read_file(self, name: str) -> StateFile:
        self._next()
        return super().read_file(name)

    def stage(self, data: bytes, *, durable: bool = True) -> str:
        self._next()
        return super().stage(data, durable=durable)

    def replace(self, staged: str, name: str) -> None:
        self._next()
        super().replace(staged, name)

    def remove(self, name: str) -> None:
        self._next()
        super().remove(name)

    def touch(self, name: str) -> None:
        self._next()
        super().touch(name)

    def sync(self, name: str = "") -> None:
        self._next()
        super().sync(name)


class Undurable(SwitchFolder):
    """Its disk takes everything, and then cannot keep it."""

    def sync(self, name: str = "") -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_an_activation_that_is_not_durable_is_active_with_a_note(layout: Layout, clock: Ticks) -> None:
    with opened(layout, Undurable) as folder:
        change = activate_in(folder, R1, "odd", "ann", clock)
    assert (change.switch.state, change.switch.reason) == ("active", "odd")
    assert len(change.notes) == 1
    assert effective(layout, R1).state == "active"


class Unlocked(Meddled):
    """Never gets the lock, as beside a process that was stopped while it held it."""

    @contextmanager
    def locked(self, patience_seconds: float) -> Iterator[bool]:
        yield False


def meddled(kind: type[Meddled], at: int, meddle: Callable[[], object]) -> type[Meddled]:
    return type("AtThatMoment", (kind,), {"at": at, "calls": 0, "meddle": staticmethod(meddle)})


@pytest.mark.parametrize("room", [True, False], ids=["room", "no-room"])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_clear_is_refused_when_the_switch_was_activated_since_its_read(
    layout: Layout, clock: Ticks, at: int, room: bool
) -> None:
    """By a second activation, which keeps all that the first one said: it counts no less."""
    activate(layout, R1, "odd", "ann", clock)

    def activate_once_more() -> None:
        with opened(layout, Unlocked) as folder, nullcontext() if room else no_file_may_grow():
            activate_in(folder, R1, "more", "bob", clock)

    refused = False
    with opened(layout, meddled(Meddled, at, activate_once_more)) as folder:
        try:
            clear_in(folder, R1, "fine", "cat", clock)
        except Refused:
            refused = True
    look, rename = 1, 5
    assert refused == (look < at <= rename)
    assert effective(layout, R1).state == ("cleared" if at == look else "active")
    assert not list(switch_folder(layout).glob(".*.clearing"))
    assert not list(switch_folder(layout).glob(".*.tmp"))


class Turns:
    """Two processes, each of whose calls waits until a schedule says that it is its turn."""

    def __init__(self, schedule: Sequence[str]) -> None:
        self._left = list(schedule)
        self._over: set[str] = set()
        self._changed = Condition()
        self.took: list[tuple[str, str, str]] = []
        """Who, which call, of which name."""

    def folder(self, layout: Layout, role: str) -> SwitchFolder:
        turns = self

        class Stepped(SwitchFolder):
            def read_file(self, name: str) -> StateFile:
                return turns.step(role, "read_file", name, lambda: SwitchFolder.read_file(self, name))

            def stage(self, data: bytes, *, durable: bool = True) -> str:
                return turns.step(role, "stage", "", lambda: SwitchFolder.stage(self, data, durable=durable))

            def replace(self, staged: str, name: str) -> None:
                turns.step(role, "replace", name, lambda: SwitchFolder.replace(self, staged, name))

            def remove(self, name: str) -> None:
                turns.step(role, "remove", name, lambda: SwitchFolder.remove(self, name))

            def sync(self, name: str = "") -> None:
                pass

            @contextmanager
            def locked(self, patience_seconds: float) -> Iterator[bool]:
                yield role == "clear"

        return opened(layout, Stepped)

    def step[T](self, role: str, call: str, name: str, do: Callable[[], T]) -> T:
        other = {"clear": "activate", "activate": "clear"}[role]
        with self._changed:
            assert self._changed.wait_for(lambda: not self._left or self._left[0] == role or other in self._over, 10)
            if self._left and self._left[0] == role:
                self._left.pop(0)
            self.took.append((role, call, name))
            try:
                return do()
            finally:
                self._changed.notify_all()

    def over(self, role: str) -> None:
        with self._changed:
            self._over.add(role)
            self._changed.notify_all()


SCHEDULES = st.lists(st.sampled_from(["clear", "activate"]), min_size=20, max_size=20)


@given(SCHEDULES, st.sampled_from([None, ACTIVE, CLEARED]))
@settings(max_examples=150)
def test_in_every_interleaving_a_clear_takes_back_no_later_activation(
    tmp_path_factory: pytest.TempPathFactory, schedule: list[str], before: KillSwitchRecord | None
) -> None:
    layout = Layout(tmp_path_factory.mktemp("meet"))
    prepare(layout)
    if before:
        write(state_file(layout), rendered(before))
    turns = Turns(schedule)

    def clear_it() -> None:
        with turns.folder(layout, "clear") as folder, suppress(Refused):
            clear_in(folder, R1, "fine", "cat", Ticks())
        turns.over("clear")

    def activate_it() -> None:
        with turns.folder(layout, "activate") as folder:
            activate_in(folder, R1, "more", "bob", Ticks())
        turns.over("activate")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(clear_it), pool.submit(activate_it)]:
            done.result(20)
    looked = turns.took.index(("clear", "read_file", "r1.state.json"))
    written = [n for n, step in enumerate(turns.took) if step == ("activate", "replace", "r1.state.json")]
    if looked < written[-1]:
        assert effective(layout, R1).state == "active", turns.took
    assert effective(layout, R1).state != "absent"


def test_a_taken_lock_delays_an_activation_and_prevents_a_clear(layout: Layout, clock: Ticks) -> None:
    activate(layout, R1, "odd", "ann", clock)
    with open(switch_folder(layout) / ".lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Environment):
            clear(layout, R1, "fine", "bob", clock)
        assert effective(layout, R1).state == "active"
        change = activate(layout, None, "odd", "ann", clock)
        assert (change.switch.state, len(change.notes)) == ("active", 1)
    assert clear(layout, R1, "fine", "bob", clock).switch.state == "cleared"
    assert not activate(layout, None, "odd", "ann", clock).notes


def test_a_clear_that_was_killed_leaves_nothing_that_clears(layout: Layout, clock: Ticks) -> None:
    activate(layout, R1, "odd", "ann", clock)
    write(switch_folder(layout) / ".r1.clearing", rendered(CLEARED))
    assert effective(layout, R1).state == "active"
    assert activate(layout, R1, "more", "bob", clock).switch.reason == "odd"
    assert not (switch_folder(layout) / ".r1.clearing").exists()
