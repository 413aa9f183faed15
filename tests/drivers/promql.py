"""The names in a PromQL expression: selectors, and labels by which it groups and matches."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<range>\[[^\]]*\])"""
    r"""|(?P<number>\d[\w.]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^,=<>@{}()]))"""
)
_LABELS_FOLLOW = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_AFTER_FUNCTION = frozenset({"(", "by", "without"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "start", "end"})


@dataclass(frozen=True, slots=True)
class Selector:
    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()
    """Label, operator, value."""


@dataclass(slots=True)
class Names:
    selectors: list[Selector] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    """By which it groups, or matches series of two sides."""
    made: set[str] = field(default_factory=set)
    """Labels that `label_replace` writes."""


def names_of(expression: str) -> Names:
    """Of an expression without variables."""
    tokens = _tokens(expression)
    names, at = Names(), 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _LABELS_FOLLOW:
            end = _end(tokens, at + 1, ")")
            names.labels.update(each for sort, each in tokens[at + 1 : end] if sort == "name")
            at = end
        elif kind == "name" and following not in _AFTER_FUNCTION and text not in _WORDS:
            matchers: tuple[tuple[str, str, str], ...] = ()
            if following == "{":
                end = _end(tokens, at + 1, "}")
                matchers = _matchers([each for _, each in tokens[at + 2 : end]])
                at = end
            names.selectors.append(Selector(text, matchers))
        at += 1
    made = re.findall(r'"(\w+)", "[\w-]*", "(\w+)", "[^"]*"\)', expression)  # of label_replace
    names.made.update(label for label, _ in made)
    names.labels.update(source for _, source in made)
    return names


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, at, text = [], 0, expression.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token, f"not a token at {text[at : at + 20]!r} of {text!r}"
        kind = token.lastgroup or ""
        tokens.append((kind, token[kind]))
        at = token.end()
    return tokens


def _end(tokens: list[tuple[str, str]], start: int, bracket: str) -> int:
    return next(index for index in range(start, len(tokens)) if tokens[index][1] == bracket)


def _matchers(texts: list[str]) -> tuple[tuple[str, str, str], ...]:
    parts = [text for text in texts if text != ","]
    return tuple((parts[at], parts[at + 1], parts[at + 2].strip('"')) for at in range(0, len(parts), 3))
