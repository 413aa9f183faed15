"""Reading one step ahead: the next candles are parsed while these are looked at."""

import queue
import threading
from collections.abc import Generator, Iterator

_DEPTH = 2
_LOOK_SECONDS = 0.1


class _End:
    """The last thing in the queue, with what ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead[Item](items: Iterator[Item]) -> Generator[Item]:
    """The same items in the same order, made by a thread of their own, at most a few ahead.

    What `items` raises is raised here, after everything before it. Close it (`contextlib.closing`): that ends the
    thread, also when its reader failed.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(_DEPTH)
    given_up = threading.Event()

    def put(thing: Item | _End) -> None:
        while not given_up.is_set():
            try:
                waiting.put(thing, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def fill() -> None:
        try:
            for item in items:
                put(item)
                if given_up.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (raised again by the reader)
            put(_End(error))
        else:
            put(_End(None))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(thing := waiting.get(), _End):
            yield thing
        if thing.error:
            raise thing.error
    finally:
        given_up.set()
        thread.join()
