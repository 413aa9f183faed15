"""Starts a command whose calls that reach out to somewhere are shown to another process before they are made.

usage: python traced_start.py WRITE_FD READ_FD COMMAND...; says on WRITE_FD under which number it holds the kernel's
listener, and goes on when something comes on READ_FD. What cannot be done is said there, too. No module of the tests
is imported: it runs anywhere.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ADDRESS_OF_SENDTO = 16 + 4 * 8
"""Where its fifth argument lies in what the filter is given."""
CALLS = {
    "x86_64": {"seccomp": 317, "connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "io_uring_setup": 425},
    "aarch64": {"seccomp": 277, "connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "io_uring_setup": 425},
}


def program(calls: dict[str, int]) -> bytes:
    """`sendto` without an address, which is what `send` is, passes: it goes where the socket was connected to."""
    lines = [
        (LOAD, 0, 0, 0),
        (JUMP_IF_EQUAL, 9, 0, calls["connect"]),
        (JUMP_IF_EQUAL, 8, 0, calls["sendmsg"]),
        (JUMP_IF_EQUAL, 7, 0, calls["sendmmsg"]),
        (JUMP_IF_EQUAL, 6, 0, calls["io_uring_setup"]),
        (JUMP_IF_EQUAL, 1, 0, calls["sendto"]),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, ADDRESS_OF_SENDTO),
        (JUMP_IF_EQUAL, 0, 2, 0),
        (LOAD, 0, 0, ADDRESS_OF_SENDTO + 4),
        (JUMP_IF_EQUAL, 1, 0, 0),
        (RETURN, 0, 0, NOTIFY),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def listen() -> int:
    """From here on, for this process and whatever it starts. Raises OSError."""
    calls = CALLS.get(platform.machine())
    if calls is None:
        raise OSError(0, f"not known how on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    code = program(calls)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    fd = libc.syscall(calls["seccomp"], SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, filter_)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(fd)


if __name__ == "__main__":
    telling, hearing = int(sys.argv[1]), int(sys.argv[2])
    try:
        said = str(listen())
    except OSError as error:
        said = f"cannot: {error.strerror}"
    os.write(telling, f"{os.getpid()} {said}\n".encode())
    os.read(hearing, 1)
    os.close(telling)
    os.close(hearing)
    os.execvp(sys.argv[3], sys.argv[3:])
