"""Detects texts that look like secrets, so that no message repeats them."""

import math
import re
from collections import Counter

_SENSITIVE_NAME = re.compile(r"(secret|passw|token|api_?key|private|credential|signature)", re.IGNORECASE)
_BLOB = re.compile(r"[A-Za-z0-9+/=_\-]{20,}")
_KNOWN_PREFIXES = ("-----BEGIN", "AKIA", "ghp_", "xox", "sk-", "eyJ")
HIDDEN = "<hidden: looks like a secret>"


def looks_like_secret(text: str, name: str = "") -> bool:
    """Whether `text`, a value given under `name`, should be hidden. In doubt it is."""
    if name and _SENSITIVE_NAME.search(name):
        return True
    if any(mark in text for mark in _KNOWN_PREFIXES):
        return True
    return any(_dense(run) for run in _BLOB.findall(text))


def echo(text: str, name: str = "") -> str:
    """`text` for an error message, or a placeholder when it looks like a secret."""
    return HIDDEN if looks_like_secret(text, name) else text


def _dense(run: str) -> bool:
    """Many different characters of mixed kinds: typical of keys, not of words."""
    kinds = sum(bool(re.search(kind, run)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    counts = Counter(run)
    bits = -sum(n / len(run) * math.log2(n / len(run)) for n in counts.values())
    return (kinds >= 2 and bits >= 3.3) or bits >= 4.2
