"""Watcher of a running run's kill switch: a thread that calls back once when the switch is active.

inotify reports changes in the switch's folder; the watcher then reads the switch. It also reads it every
`CHECK_SECONDS`, because not every file system reports changes. Without inotify it polls the folder every
`POLL_SECONDS`. A folder that is missing, replaced or unreadable counts as active.

The thread depends only on the disk: not on the parent process, and not on the other threads of its process, as long as
they release the interpreter lock from time to time.
"""

import os
import select
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

from inotify_simple import INotify, flags

from opslab.killswitch.state import Switch, switch_of_folder
from opslab.killswitch.switch import effective_in
from opslab.model.primitives.ids import RunId
from opslab.store.kill_switch_files import FOLDER, SwitchFolder, open_folder
from opslab.store.layout import Layout

POLL_SECONDS = 0.025
"""Interval of checks without inotify."""
CHECK_SECONDS = 0.25
"""Interval of checks with inotify, for changes that it does not report, such as a moved parent folder."""
_FILE_EVENTS = (
    flags.CREATE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CLOSE_WRITE | flags.MODIFY | flags.ATTRIB
)
_FOLDER_EVENTS = flags.DELETE_SELF | flags.MOVE_SELF | flags.ATTRIB | flags.ONLYDIR

OnActive = Callable[[Switch], None]


class SwitchWatch:
    """After `start`, `on_active` is called at most once, from a separate thread; `close` ends the watch.

    It is also called for a switch that is active already at the start, so no activation before the start is missed.
    """

    def __init__(
        self,
        layout: Layout,
        run_id: RunId,
        on_active: OnActive,
        *,
        polls: bool = False,
        check_seconds: float = CHECK_SECONDS,
        open_inotify: Callable[[], INotify] = INotify,
    ) -> None:
        """polls: do not use inotify. The folder must exist: the start gate has created it (`prepare`)."""
        self._layout = layout
        self._run_id = run_id
        self._on_active = on_active
        self._polls = polls
        self._check_seconds = check_seconds
        self._open_inotify = open_inotify
        self._inotify: INotify | None = None
        self._first: SwitchFolder | None = None
        """Kept open, so that its identity is not reused for another folder."""
        self._open = ExitStack()
        self._wake = os.eventfd(0)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kill switch", daemon=True)

    def start(self) -> None:
        """Every change of the folder after this call is detected."""
        with suppress(OSError):
            folder = open_folder(self._layout)
            self._first = self._open.enter_context(folder) if folder else None
        self._thread.start()

    def close(self) -> None:
        """After this returns, `on_active` is not called any more. Must not be called from `on_active`."""
        self._closed.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        with self._open:
            switch = self._read_switch()  # before inotify is set up, which takes time
            if switch.state != "active" and not self._polls:
                self._set_up_inotify()
                switch = self._read_switch()  # changes before inotify was set up
            while switch.state != "active" and not self._closed.is_set():
                self._wait()
                switch = self._read_switch()
            if switch.state == "active" and not self._closed.is_set():
                self._on_active(switch)  # before inotify is closed, which takes up to 20 ms (measured)

    def _set_up_inotify(self) -> None:
        """On failure, as when no inotify watch is available, the folder is polled."""
        with suppress(OSError):
            inotify = self._open.enter_context(self._open_inotify())
            inotify.add_watch(self._layout.runtime / FOLDER, _FILE_EVENTS | _FOLDER_EVENTS)
            inotify.add_watch(self._layout.runtime, _FOLDER_EVENTS)
            self._inotify = inotify

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._inotify is None:
            poll.poll(POLL_SECONDS * 1000)
            return
        poll.register(self._inotify, select.POLLIN)
        poll.poll(self._check_seconds * 1000)
        with suppress(OSError):
            self._inotify.read(timeout=0)

    def _read_switch(self) -> Switch:
        """Never raises."""
        try:
            folder = open_folder(self._layout)
            if folder is None:
                return _active_because("is missing")
            with folder:
                if self._first is None or folder.identity() != self._first.identity():
                    return _active_because("was replaced")
                return effective_in(folder, self._run_id)
        except OSError as error:
            return switch_of_folder(error)


def _active_because(problem: str) -> Switch:
    return Switch("active", "all", None, f"runtime/{FOLDER}", problem=f"the folder {problem}")
