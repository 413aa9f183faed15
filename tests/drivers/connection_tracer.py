"""Every place that a process, and whatever it starts, wants to reach: seen before it does, by the kernel's own account.

The kernel stops each call that names an address (`connect`, `sendto`, `sendmsg`, `sendmmsg`) and asks here. What leads
to this machine goes on; everything else is noted and refused, so that nothing leaves it even when a test fails.
"""

import ctypes
import fcntl
import ipaddress
import os
import platform
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.drivers.traced_start import CALLS

START = Path(__file__).with_name("traced_start.py")
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTE = struct.Struct("QIIiIQ6Q")
_REPLY = struct.Struct("QqiI")
_GO_ON = 1
_POLL_MS = 100
_PIDFD_GETFD = 438
_ADDRESS_BYTES = 128
_HEADER = struct.Struct("QI4xQQ")
"""The beginning of a `msghdr`: address, its length, and what is sent."""
_MMSG_BYTES = 64


@dataclass(frozen=True, slots=True, order=True)
class Reached:
    """Somewhere that was to be reached, and which program wanted it."""

    family: str
    address: str
    port: int
    program: str

    @property
    def is_here(self) -> bool:
        if self.family in ("unix", "netlink"):
            return True
        return self.family in ("ipv4", "ipv6") and ipaddress.ip_address(self.address).is_loopback


@dataclass(slots=True)
class StrategyRecorder:
    """`words` go in front of a command that `pass_fds` are handed to; `seen` is what it wanted to reach."""

    words: list[str]
    pass_fds: tuple[int, int]
    seen: set[Reached] = field(default_factory=set)
    problem: str | None = None
    """Why nothing can be seen on this machine."""
    begun: threading.Event = field(default_factory=threading.Event)

    @property
    def elsewhere(self) -> list[Reached]:
        return sorted(one for one in self.seen if not one.is_here)


@contextmanager
def watching() -> Iterator[StrategyRecorder]:
    """Around the start of one process and its life. The thread that watches ends with the last of what was started."""
    hears, tells = os.pipe()
    waits, lets_go = os.pipe()
    watch = StrategyRecorder([sys.executable, str(START), str(tells), str(waits)], (tells, waits))
    thread = threading.Thread(target=_watch, args=(watch, hears, lets_go), name="reaches-out")
    thread.start()
    try:
        yield watch
    finally:
        for descriptor in (tells, waits):
            os.close(descriptor)
        thread.join()
        for descriptor in (hears, lets_go):
            os.close(descriptor)


def _watch(watch: StrategyRecorder, hears: int, lets_go: int) -> None:
    said = b""
    while not said.endswith(b"\n"):
        data = os.read(hears, 100)
        if not data:
            watch.problem = "the command was not started"
            return
        said += data
    pid, _, word = said.decode().strip().partition(" ")
    if word.isdigit():
        listener = _taken(int(pid), int(word))
    else:
        listener, watch.problem = None, word
    os.write(lets_go, b"g")
    watch.begun.set()
    if listener is not None:
        _listen(watch, listener)
        os.close(listener)


def _taken(pid: int, number: int) -> int:
    """A descriptor of another process, as one of our own."""
    process = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.syscall(_PIDFD_GETFD, process, number, 0)
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(found)
    finally:
        os.close(process)


def _listen(watch: StrategyRecorder, listener: int) -> None:
    numbers = {number: name for name, number in CALLS[platform.machine()].items()}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ready = poll.poll(_POLL_MS)
        if not ready:
            continue
        if ready[0][1] & (select.POLLHUP | select.POLLERR):
            return
        note = bytearray(_NOTE.size)
        with suppress(FileNotFoundError, InterruptedError):  # who asked has died
            fcntl.ioctl(listener, _RECEIVE, note)
            asked, pid, _flags, number, _arch, _place, *words = _NOTE.unpack(note)
            found = set(_wanted(pid, numbers[number], words))
            watch.seen |= found
            may = all(one.is_here for one in found)
            error, flags = (0, _GO_ON) if may else (-int(_UNREACHABLE), 0)
            fcntl.ioctl(listener, _ANSWER, bytearray(_REPLY.pack(asked, 0, error, flags)))


_UNREACHABLE = 101


def _wanted(pid: int, call: str, words: list[int]) -> Iterator[Reached]:
    program = _program(pid)
    if call == "io_uring_setup":
        yield Reached("io_uring", "", 0, program)  # nobody would see where it goes
    elif call == "connect":
        yield from _address(pid, words[1], words[2], program)
    elif call == "sendto":
        yield from _address(pid, words[4], words[5], program)
    else:
        count, step = (1, 0) if call == "sendmsg" else (words[2], _MMSG_BYTES)
        for place in range(count):
            name, length, *_ = _HEADER.unpack(_memory(pid, words[1] + place * step, _HEADER.size))
            if name:
                yield from _address(pid, name, length, program)


def _address(pid: int, place: int, length: int, program: str) -> Iterator[Reached]:
    data = _memory(pid, place, min(length, _ADDRESS_BYTES))
    (family,) = struct.unpack_from("H", data)
    if family == socket.AF_INET:
        yield Reached("ipv4", socket.inet_ntoa(data[4:8]), int.from_bytes(data[2:4]), program)
    elif family == socket.AF_INET6:
        yield Reached("ipv6", str(ipaddress.IPv6Address(data[8:24])), int.from_bytes(data[2:4]), program)
    elif family == socket.AF_UNIX:
        yield Reached("unix", data[2:].split(b"\0")[0].decode(errors="replace"), 0, program)
    elif family == socket.AF_NETLINK:
        yield Reached("netlink", "", 0, program)
    elif family != socket.AF_UNSPEC:  # which undoes a connection
        yield Reached(f"family {family}", "", 0, program)


def _memory(pid: int, place: int, length: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(place)
        return memory.read(length)


def _program(pid: int) -> str:
    """`engine` and `venue` of the children, `tc`, or what it is."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    for name in ("engine", "venue"):
        if f"opslab.children.{name}" in words:
            return name
    return "tc" if "opslab" in words else words[0]
