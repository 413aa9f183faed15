"""Run a module of the lab with every sentence in it reworded: `python -P reworded.py MODULE ARG...`.

Each string constant of `opslab` that reads as prose (two words in a row, no docstring) gets other words, differently in
each process: a sentence that one process writes and another one compares does not match any more. Children that the
process starts are reworded, too. What the run records must not depend on it.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

PROSE = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")
WORD = re.compile(r"\{\w+(?::[^}]*)?\}|[A-Za-z]{2,}")
"""A word; or a field of a format string, which stays."""
NO_PROSE = re.compile(r"[\\^$*`]|\{[{%]|%[a-zA-Z(]")
"""Regular expressions and templates."""
THIRD_PARTY = frozenset({"Failed to disconnect", "readiness timeout while waiting for engine connections"})
"""NautilusTrader's own texts, which it gives no code for (`nautilus/live/node.py`)."""
CHILD_COMMANDS = {
    "opslab.runs.processes.child_process": {
        "ENGINE_COMMAND": "opslab.children.engine",
        "VENUE_COMMAND": "opslab.children.venue",
    },
    "opslab.runs.planning.strategy_inspection": {"INSPECTION_COMMAND": "opslab.children.inspection"},
}


class Reword(ast.NodeTransformer):
    def __init__(self, mark: str) -> None:
        self._mark = mark
        self.count = 0

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        text = node.value
        if not isinstance(text, str) or text in THIRD_PARTY or not PROSE.search(text) or NO_PROSE.search(text):
            return node
        self.count += 1
        return ast.copy_location(ast.Constant(WORD.sub(self._reworded, text)), node)

    def _reworded(self, word: re.Match[str]) -> str:
        return word[0] if word[0].startswith("{") else word[0] + self._mark

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """A docstring stays: Typer makes help of it, and no run depends on that."""
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)


class Loader(importlib.machinery.SourceFileLoader):
    mark = ""

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        source = Path(self.path).read_bytes()
        tree = ast.parse(source, self.path)
        if b"import sqlite3" not in source:  # SQL is no prose
            tree = Reword(self.mark).visit(tree)
        return compile(ast.fix_missing_locations(tree), self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, child in CHILD_COMMANDS.get(module.__name__, {}).items():
            assert hasattr(module, name), f"{module.__name__} has no {name}"
            setattr(module, name, (sys.executable, "-P", __file__, child))


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "opslab":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin and spec.origin.endswith(".py"):
            spec.loader = Loader(fullname, spec.origin)
        return spec


def main(module: str, arguments: list[str]) -> None:
    Loader.mark = module.rpartition(".")[2][:1]
    sys.meta_path.insert(0, Finder())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
