"""Whether bytes without a newline can be the beginning of a line that the journal was about to hold.

They can when there is an ending that makes such a line of them. Decided from the bytes alone: the number, the digest of
the line before and the event's name are known, the time has a shape, the payload is JSON without spaces. What somebody
else wrote there by accident is none of that, mostly from its second byte on.
"""

import codecs
import re
from collections.abc import Iterable

from pydantic_core import from_json, to_json

_TIME = "0000-00-00T00:00:00.000000Z"
_DIGIT = re.compile(r"[0-9]")
_SPACE = re.compile(r"\s")
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
"""The last one may be cut off."""
_STRINGS = re.compile(_STRING, re.DOTALL)
_STRINGS_AND_BRACKETS = re.compile(rf"{_STRING}|[{{}}\[\]]", re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_STRING_ENDS = ("", '"', '\\"', '0000"', '000"', '00"', '0"')
_WORDS = ("true", "false", "null", "NaN", "Infinity")
_ENDS = (
    *(f"{end}{value}" for value in ("", ":0") for end in _STRING_ENDS),
    "0",
    '"":0',
    *(word[at:] for word in _WORDS for at in range(1, len(word))),
)
"""One of them finishes whatever of a payload is cut off: a string, a key, a number, a word; brackets are left open."""


def could_begin(torn: bytes, names: Iterable[str], seq: int, prev: str | None) -> bool:
    """Whether the journal can have been writing one of these events. seq, prev: those of the line that comes next."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(torn)
    except UnicodeDecodeError:
        return False
    if decoder.getstate()[0]:
        text += "?"  # the last character is there in part
    before_time = f'{{"seq":{seq},"time":"'
    start, end = len(before_time), len(before_time) + len(_TIME)
    timeless = text[:start] + _DIGIT.sub("0", text[start:end]) + text[end:]
    for name in names:
        head = f'{before_time}{_TIME}","event":"{name}","payload":'
        if head.startswith(timeless):
            return True
        if timeless.startswith(head):
            return _could_go_on(text[len(head) :], f',"prev":{to_json(prev).decode()}}}')
    return False


def _could_go_on(text: str, tail: str) -> bool:
    """text: from the payload on. tail: what follows a whole one."""
    closing: list[str] = []
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        if found[0] in _CLOSING:
            closing.append(_CLOSING[found[0]])
        elif found[0] in "]}":
            if not closing or closing.pop() != found[0]:
                return False
            if not closing:
                return _is_object(text[: found.end()]) and tail.startswith(text[found.end() :])
    closed = "".join(reversed(closing))
    return any(_is_object(f"{text}{end}{closed}") for end in _ENDS)


def _is_object(text: str) -> bool:
    """One, and without spaces."""
    if _SPACE.search(_STRINGS.sub("", text)):
        return False
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
