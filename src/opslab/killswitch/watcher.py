"""The kill switch of a run that runs: watched from a thread, which calls once when the switch is active.

The kernel says when something happens in the switch's folder; what stands there is then looked at, and besides every
so often in any case: not every file system tells. Where the kernel cannot be asked, the folder is looked at all the
time. A folder that is gone, that is another than it was, or that cannot be read counts as active.

The thread depends on nothing but the disk: neither on who started the process nor on what its other threads do, as
long as they let go of the interpreter now and then.
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
"""Between two looks where the kernel does not say when to."""
LOOK_SECONDS = 0.25
"""Between two looks where it does: for what it does not tell of, as a folder further up that is moved away."""
_IN = flags.CREATE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CLOSE_WRITE | flags.MODIFY | flags.ATTRIB
_SELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.ATTRIB | flags.ONLYDIR

OnActive = Callable[[Switch], None]


class SwitchWatch:
    """`start`, and `on_active` is called at most once, from a thread of its own; `close` ends it.

    A switch that is active when the watch begins is told as well: nothing is missed between a look before and this.
    """

    def __init__(
        self,
        layout: Layout,
        run_id: RunId,
        on_active: OnActive,
        *,
        polls: bool = False,
        look_seconds: float = LOOK_SECONDS,
        open_kernel: Callable[[], INotify] = INotify,
    ) -> None:
        """polls: do not ask the kernel. The folder must be there: the start gate has made it (`prepare`)."""
        self._layout = layout
        self._run_id = run_id
        self._on_active = on_active
        self._polls = polls
        self._look_seconds = look_seconds
        self._open_kernel = open_kernel
        self._kernel: INotify | None = None
        self._first: SwitchFolder | None = None
        """Held open, so that no other folder can be taken for it."""
        self._open = ExitStack()
        self._wake = os.eventfd(0)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kill switch", daemon=True)

    def start(self) -> None:
        """What becomes of the folder behind this call is seen."""
        with suppress(OSError):
            folder = open_folder(self._layout)
            self._first = self._open.enter_context(folder) if folder else None
        self._thread.start()

    def close(self) -> None:
        """It does not call any more when this returns; not to be called from `on_active`."""
        self._closed.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake)

    def _work(self) -> None:
        with self._open:
            switch = self._look()  # before the kernel is asked, which may take a moment
            if switch.state != "active" and not self._polls:
                self._ask_kernel()
                switch = self._look()  # what came before the kernel told of anything
            while switch.state != "active" and not self._closed.is_set():
                self._wait()
                switch = self._look()
            if switch.state == "active" and not self._closed.is_set():
                self._on_active(switch)  # before the kernel is let go, which takes it up to 20 ms (measured)

    def _ask_kernel(self) -> None:
        """Without it, as when all its watches are taken, the folder is polled."""
        with suppress(OSError):
            kernel = self._open.enter_context(self._open_kernel())
            kernel.add_watch(self._layout.runtime / FOLDER, _IN | _SELF)
            kernel.add_watch(self._layout.runtime, _SELF)
            self._kernel = kernel

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._kernel is None:
            poll.poll(POLL_SECONDS * 1000)
            return
        poll.register(self._kernel, select.POLLIN)
        poll.poll(self._look_seconds * 1000)
        with suppress(OSError):
            self._kernel.read(timeout=0)

    def _look(self) -> Switch:
        """Never raises."""
        try:
            folder = open_folder(self._layout)
            if folder is None:
                return _stopped_by("is gone")
            with folder:
                if self._first is None or folder.identity() != self._first.identity():
                    return _stopped_by("was put in the place of another")
                return effective_in(folder, self._run_id)
        except OSError as error:
            return switch_of_folder(error)


def _stopped_by(what: str) -> Switch:
    return Switch("active", "all", None, f"runtime/{FOLDER}", problem=f"the folder {what}")
