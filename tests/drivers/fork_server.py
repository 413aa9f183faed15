"""`tc` from a fork server: a process of its own for each command, without the 0.4 s of imports.

The server has imported all that commands import, and has one thread. Each command is a fork of it
that gets its own arguments, environment, folder, umask, descriptors and signal handlers, and ends by itself. What an
interpreter reads only as it starts (`PYTHON*`, the locale, the time zone) must be as the server found it: `can_run`.
"""

import atexit
import gc
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import opslab

_DESCRIPTORS = 4
"""Of a command: standard input, output and error, and where its end is told."""
_READ_BYTES = 1 << 16
_MESSAGE_BYTES = 1 << 20
_START_SECONDS = 120.0
_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "TZ", "GLIBC_")
_OF_CHILDREN = ("opslab.children", "opslab.nautilus")
"""What only the processes of engine and venue import."""
_ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Of an allocator that pyarrow has and does not use."""


class ForkServer:
    """One server. Commands may be run from several threads, and from forks of the process that started it."""

    def __init__(self) -> None:
        self._at_start = _at_start(os.environ)
        self._mounts = _mounts()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # whose messages are never mixed
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_BYTES)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.drivers.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
                env={**os.environ, **_ONE_THREAD},
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        ours.settimeout(_START_SECONDS)
        assert ours.recv(1) == b"r", "the fork server did not start"
        ours.settimeout(None)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether an interpreter that was started in it, from here, would be like the server and see the same files."""
        return _at_start(environment) == self._at_start and _mounts() == self._mounts

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; as `subprocess.run` does, waits until nobody holds its output open."""
        pipes = [os.pipe() for _ in range(3)]
        asked = {"words": list(words), "environment": dict(environment), "folder": str(folder), "umask": _umask()}
        socket.send_fds(self._socket, [json.dumps(asked).encode()], [0, *(writing for _, writing in pipes)])
        for _, writing in pipes:
            os.close(writing)
        out, err, ended = _read_all([reading for reading, _ in pipes], seconds, words)
        codes = [int(word) for word in ended.split()]
        assert len(codes) == 2, f"the fork server ended in the middle of tc {words}"
        return subprocess.CompletedProcess(["tc", *words], codes[1], _text(out), _text(err))


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


def _mounts() -> str:
    """The mount namespace of this process."""
    return str(Path("/proc/self/ns/mnt").readlink())


def _umask() -> int:
    """Of this process, without changing it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


def _text(data: bytes) -> str:
    """As `subprocess` reads text."""
    return io.TextIOWrapper(io.BytesIO(data)).read()


def _read_all(readings: Sequence[int], seconds: float, words: Sequence[str]) -> list[bytes]:
    """What comes on each until its end. The last one begins with a process id; it is killed after so many seconds."""
    found = {reading: bytearray() for reading in readings}
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for reading in readings:
            selector.register(reading, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline:
                pid, _, ended = found[readings[-1]].partition(b" ")
                if pid and not ended:
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                raise subprocess.TimeoutExpired(["tc", *words], seconds, *map(bytes, list(found.values())[:2]))
            for key, _ in selector.select(1.0):
                data = os.read(key.fd, _READ_BYTES)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [bytes(data) for data in found.values()]


# The server.


def serve(number: int) -> None:
    """Until the other end is closed."""
    for found in pkgutil.walk_packages(opslab.__path__, "opslab."):
        if not found.name.startswith(_OF_CHILDREN):
            import_module(found.name)
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "a module has started a thread: a fork would lose it"  # noqa: PTH208
    listening = socket.socket(fileno=number)
    os.set_inheritable(number, False)
    waking, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: a command gets it, too
    running: dict[int, int] = {}
    listening.sendall(b"r")
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(waking, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == waking:
                    os.read(waking, _READ_BYTES)
                    _tell_ended(running)
                elif not _start(listening, running, (waking, waker, selector.fileno())):
                    return


def _tell_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        telling = running.pop(pid)
        with suppress(BrokenPipeError):
            os.write(telling, f" {os.waitstatus_to_exitcode(status)}".encode())
        os.close(telling)


def _start(listening: socket.socket, running: dict[int, int], own: Sequence[int]) -> bool:
    """Take a command and begin it; False when there will be none any more. own: descriptors of the server."""
    data, descriptors, _, _ = socket.recv_fds(listening, _MESSAGE_BYTES, _DESCRIPTORS)
    if not data:
        return False
    asked = json.loads(data)
    pid = os.fork()
    if not pid:
        try:
            listening.close()
            for descriptor in (*own, *running.values()):
                os.close(descriptor)
            _command(asked, descriptors)
        finally:
            os._exit(1)  # whatever happens, this is not a second server
    *stdio, telling = descriptors
    for descriptor in stdio:
        os.close(descriptor)
    os.write(telling, str(pid).encode())
    running[pid] = telling
    return True


def _command(asked: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """In the fork: be a `tc` that was just started."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    for descriptor in descriptors:
        os.close(descriptor)
    os.umask(asked["umask"])
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    streams = [_stream(number) for number in range(3)]
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
    from opslab import __main__

    sys.argv = [str(__main__.__file__), *asked["words"]]
    os._exit(_exit_code(__main__.main))


def _stream(number: int) -> io.TextIOWrapper:
    """As an interpreter makes it."""
    before = (sys.stdin, sys.stdout, sys.stderr)[number]
    binary = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(binary, encoding=before.encoding, errors=errors, line_buffering=number == 2)


def _exit_code(main: Any) -> int:
    """As an interpreter ends."""
    code: Any = 0
    try:
        main()
    except SystemExit as left:
        code = left.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001  (an interpreter shows it, whatever it is)
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    with suppress(OSError):
        sys.stderr.flush()
    return int(code or 0) & 0xFF


if __name__ == "__main__":
    serve(int(sys.argv[1]))
