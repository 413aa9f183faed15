"""URLs of this machine only, as a type."""

import re
from typing import Self

from opslab.errors import Usage

MAX_URL_CHARACTERS = 2048
DEFAULT_PORT = 80
NAME = "localhost"
"""The only allowed host name: the caller resolves it and checks every address with `is_loopback`."""

_DOTTED = r"127(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}"
_ADDRESS = re.compile(rf"{_DOTTED}|::1", re.ASCII)
_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL = re.compile(
    rf"(?P<scheme>http)://(?P<host>{NAME}|\[::1\]|{_DOTTED})(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    rf"(?P<path>(?:/{_CHARACTER}*)*)(?:\?(?P<query>(?:{_CHARACTER}|[/?])*))?",
    re.ASCII,
)
_HINT = "such as http://127.0.0.1:8080/path; the host is 127.x.x.x, [::1] or localhost"


class LoopbackUrl(str):
    """An `http` URL of a loopback address, or of `localhost`. One notation of a host is accepted, any other refused.

    The text is stored unchanged. Raises Usage without repeating the refused text, which may have a password.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        problem = _problem_of(text)
        if problem:
            raise Usage(f"not a loopback URL: {problem}", hint=_HINT)
        return super().__new__(cls, text)

    @property
    def host(self) -> str:
        """`127.x.x.x`, `::1` or `localhost`."""
        return self._part("host").strip("[]")

    @property
    def port(self) -> int:
        return int(self._part("port") or DEFAULT_PORT)

    @property
    def path(self) -> str:
        """From the first slash; `/` when there is none."""
        return self._part("path") or "/"

    @property
    def has_query(self) -> bool:
        return "?" in self

    @property
    def authority(self) -> str:
        """Host and port as written, for the `Host` header."""
        return self.removeprefix("http://").partition("/")[0].partition("?")[0]

    @property
    def target(self) -> str:
        """Path and query: the request target."""
        return self.path + (f"?{self._part('query')}" if self.has_query else "")

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, without name resolution."""
        return self.host != NAME

    def _part(self, name: str) -> str:
        match = _URL.fullmatch(self)
        return (match[name] if match else None) or ""


def is_loopback(address: str) -> bool:
    """Whether `address` is dotted `127.x.x.x` or `::1`; no other notation of them."""
    return _ADDRESS.fullmatch(address) is not None


def _problem_of(text: str) -> str | None:
    """The problem of `text`, without repeating it; None when it is valid."""
    if not text.isascii() or not text.isprintable():
        return "it has characters that are not printable ASCII"
    if len(text) > MAX_URL_CHARACTERS:
        return f"it is longer than {MAX_URL_CHARACTERS} characters"
    match = _URL.fullmatch(text)
    if match:
        return None if int(match["port"] or DEFAULT_PORT) <= 65_535 else "the port is more than 65535"
    if not text.startswith("http://"):
        return "it does not begin with http://"
    authority = re.split(r"[/?#\\]", text.removeprefix("http://"), maxsplit=1)[0]
    if "@" in authority:
        return "user info is not allowed"
    if "#" in text:
        return "a fragment is not allowed"
    if not re.fullmatch(rf"(?:{NAME}|\[::1\]|{_DOTTED})(?::.*)?", authority):
        return "the host is neither 127.x.x.x in plain decimals nor [::1] nor localhost"
    if not re.fullmatch(r".*?(?:\]|[^:\]])(?::[1-9][0-9]{0,4})?", authority):
        return "the port is not a number from 1 to 65535"
    return "path or query has characters that must be written as %XX"
