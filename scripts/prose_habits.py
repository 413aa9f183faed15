#!/usr/bin/env python3
"""Count habits of prose that plain technical English avoids, in docstrings, comments, messages and docs.

Prints two tables, by folder and by kind of text, and fails nothing: the counts show a trend, they are no rule. Needs
only the standard library.

usage: scripts/prose_habits.py [--root FOLDER] [--list HABIT] [--json]

Docs are counted without their code blocks. A message is any string in the source with at least two words that is
neither a docstring nor a pattern of these habits.
"""

import argparse
import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HABITS = {
    "free relatives": r"what|who|whom|whatever|whoever|whichever|wherever",
    "tell, say": r"tell|tells|telling|told|say|says|saying|said",
    "behind": r"behind",
    "nobody": r"nobody|somebody|anybody|everybody|no one|someone|anyone|everyone",
    "stands": r"stand|stands|standing|stood",
    "befall": r"befall|befalls|befalling|befell|befallen",
    "so many": r"so (?:many|much|long|often|far)",
    "there, gone": r"(?:is|are|was|were|be) (?:not |still |already )?(?:there|gone|over)",
    "deal with": r"(?:deal|deals|dealing|dealt) with",
    "hold against": r"(?:hold|holds|held|holding)\b[^.;|\n]{0,40}\b(?:against|side by side)",
    "look, hear": r"look|looks|looked|looking|hear|hears|heard",
    "want, ask": r"want|wants|wanted|ask|asks|asked",
    "word of": r"(?:word|news) (?:of|that|from)|own word",
}
"""Name to a pattern of whole words."""
_FIND = {name: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for name, pattern in HABITS.items()}
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_TWO_WORDS = re.compile(r"[A-Za-z]{2,}[,:;]? [A-Za-z]{2,}")
KINDS = ("docstrings", "comments", "messages", "docs")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose, and its first line in its file."""

    file: str
    line: int
    kind: str
    text: str


def source_prose(path: Path, file: str) -> Iterator[Passage]:
    """Docstrings (of attributes too), comments and messages of a Python file."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(file, token.start[0], "comments", token.string)
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings:
                yield Passage(file, node.lineno, "docstrings", node.value)
            elif _TWO_WORDS.search(node.value):
                yield Passage(file, node.lineno, "messages", node.value)


def page_prose(path: Path, file: str) -> Iterator[Passage]:
    """A page without its code blocks; their lines stay as empty ones, so that line numbers hold."""
    text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), path.read_text(encoding="utf-8"))
    yield Passage(file, 1, "docs", text)


def passages(root: Path) -> Iterator[Passage]:
    for path in sorted((root / "src").rglob("*.py")):
        yield from source_prose(path, path.relative_to(root).as_posix())
    for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")]):
        yield from page_prose(path, path.relative_to(root).as_posix())


def folder(file: str) -> str:
    """A package of the source, a folder of the docs, or the root."""
    parts = file.split("/")
    if parts[0] == "src":
        return "/".join(parts[:3]) if len(parts) > 3 else "/".join(parts[:2])
    return "/".join(parts[:-1]) or "."


def count(found: Sequence[Passage]) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Habit to count: by folder, and by kind of text. `words` is the number of words."""
    by_folder: dict[str, Counter[str]] = {}
    by_kind = {kind: Counter[str]() for kind in KINDS}
    for passage in found:
        counts = Counter({name: len(pattern.findall(passage.text)) for name, pattern in _FIND.items()})
        counts["words"] = len(passage.text.split())
        by_folder.setdefault(folder(passage.file), Counter()).update(counts)
        by_kind[passage.kind].update(counts)
    return by_folder, by_kind


def table(title: str, rows: dict[str, Counter[str]]) -> str:
    total = sum(rows.values(), Counter[str]())
    names = [*HABITS, "all", "per 1,000 words"]
    lines = [[title, *names]]
    for name, counts in [*rows.items(), ("total", total)]:
        habits = sum(counts[habit] for habit in HABITS)
        rate = 1000 * habits / counts["words"] if counts["words"] else 0.0
        lines.append([name, *(str(counts[habit]) for habit in HABITS), str(habits), f"{rate:.1f}"])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = []
    for first, *cells in lines:
        shown.append("  ".join([first.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]))
    return "\n".join(shown)


def occurrences(found: Sequence[Passage], habit: str) -> Iterator[str]:
    for passage in found:
        lines = passage.text.splitlines() or [""]
        for hit in _FIND[habit].finditer(passage.text):
            offset = passage.text.count("\n", 0, hit.start())
            yield f"{passage.file}:{passage.line + offset}: {lines[min(offset, len(lines) - 1)].strip()}"


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(description="Count habits of prose in docstrings, comments, messages and docs.")
    options.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="checkout to read")
    options.add_argument("--list", choices=HABITS, metavar="HABIT", help=f"print each occurrence: {', '.join(HABITS)}")
    options.add_argument("--json", action="store_true", help="print the counts as JSON")
    chosen = options.parse_args(arguments)
    found = list(passages(chosen.root))
    if chosen.list:
        print("\n".join(occurrences(found, chosen.list)))
        return 0
    by_folder, by_kind = count(found)
    if chosen.json:
        print(json.dumps({"by_folder": by_folder, "by_kind": by_kind}, indent=2))
        return 0
    print(table("folder", by_folder), table("kind", by_kind), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
