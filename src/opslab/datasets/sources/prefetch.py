"""Prefetch: parse the next candles while the current ones are processed."""

import queue
import threading
from collections.abc import Generator, Iterator

_MAX_ITEMS = 2
_POLL_SECONDS = 0.1


class _End:
    """The last item in the queue; `error`: the exception that ended the source."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead[Item](items: Iterator[Item]) -> Generator[Item]:
    """The same items in the same order, produced by a separate thread, at most a few items ahead.

    An exception of `items` is raised here, after the items before it. Close the generator (`contextlib.closing`): that
    ends the thread, also if the consumer failed.
    """
    prefetched: queue.Queue[Item | _End] = queue.Queue(_MAX_ITEMS)
    stopped = threading.Event()

    def put(item: Item | _End) -> None:
        while not stopped.is_set():
            try:
                prefetched.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def fill() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (raised again in the consumer)
            put(_End(error))
        else:
            put(_End(None))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := prefetched.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        stopped.set()
        thread.join()
