"""Decides whether bytes without a newline can be the beginning of the journal's next line.

They can when some continuation makes them such a line. The bytes alone decide: `seq`, the digest of the previous line
and the event's name are known, the time has a fixed format, the payload is JSON without spaces. Foreign text differs
from that, mostly from its second byte on.
"""

import codecs
import re
from collections.abc import Iterable

from pydantic_core import from_json, to_json

_TIME = "0000-00-00T00:00:00.000000Z"
_DIGIT = re.compile(r"[0-9]")
_SPACE = re.compile(r"\s")
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
"""The last string may be cut off."""
_STRINGS = re.compile(_STRING, re.DOTALL)
_STRINGS_AND_BRACKETS = re.compile(rf"{_STRING}|[{{}}\[\]]", re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_STRING_ENDS = ("", '"', '\\"', '0000"', '000"', '00"', '0"')
_LITERALS = ("true", "false", "null", "NaN", "Infinity")
_ENDS = (
    *(f"{end}{value}" for value in ("", ":0") for end in _STRING_ENDS),
    "0",
    '"":0',
    *(literal[at:] for literal in _LITERALS for at in range(1, len(literal))),
)
"""One of them completes any cut-off part of a payload: a string, a key, a number, a literal; brackets stay open."""


def could_begin(torn: bytes, names: Iterable[str], seq: int, prev: str | None) -> bool:
    """Whether the bytes can begin one of these events. seq, prev: of the journal's next line."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(torn)
    except UnicodeDecodeError:
        return False
    if decoder.getstate()[0]:
        text += "?"  # the last character is incomplete
    before_time = f'{{"seq":{seq},"time":"'
    start, end = len(before_time), len(before_time) + len(_TIME)
    timeless = text[:start] + _DIGIT.sub("0", text[start:end]) + text[end:]
    for name in names:
        head = f'{before_time}{_TIME}","event":"{name}","payload":'
        if head.startswith(timeless):
            return True
        if timeless.startswith(head):
            return _can_continue(text[len(head) :], f',"prev":{to_json(prev).decode()}}}')
    return False


def _can_continue(text: str, tail: str) -> bool:
    """text: the line from its payload on. tail: the line after a complete payload."""
    closing: list[str] = []
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        if token[0] in _CLOSING:
            closing.append(_CLOSING[token[0]])
        elif token[0] in "]}":
            if not closing or closing.pop() != token[0]:
                return False
            if not closing:
                return _is_object(text[: token.end()]) and tail.startswith(text[token.end() :])
    closed = "".join(reversed(closing))
    return any(_is_object(f"{text}{end}{closed}") for end in _ENDS)


def _is_object(text: str) -> bool:
    """Whether it is one JSON object without spaces."""
    if _SPACE.search(_STRINGS.sub("", text)):
        return False
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
