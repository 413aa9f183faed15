"""Pages about the code: paths exist, folders and layers are complete, the words of the glossary are in use."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "opslab"
DOCS = ROOT / "docs"
ARCHITECTURE, CONTRIBUTING, WORDS = DOCS / "architecture.md", ROOT / "CONTRIBUTING.md", DOCS / "words.md"
PATH = re.compile(r"(?<![\w./~<-])((?:[\w-]+/)+(?:[\w-]+\.(?:py|md|sh|txt|yml))?|[\w-]+\.(?:py|toml))(?![\w/*<])")
"""`folder/`, `folder/file.py` or `file.py`, without placeholders."""
HOME = ("artifacts/", "runtime/", "data/")
"""Folders of a lab, not of the repository."""


def paths(page: Path) -> list[str]:
    text = re.sub(r"\]\([^)]*\)", "]", page.read_text(encoding="utf-8"))
    return sorted({path for path in PATH.findall(text) if not path.startswith(HOME)})


def exists(path: str) -> bool:
    found = SOURCE / path if (SOURCE / path).exists() else ROOT / path
    return found.is_dir() if path.endswith("/") else found.is_file()


@pytest.mark.parametrize("page", [ARCHITECTURE, CONTRIBUTING], ids=lambda page: page.name)
def test_every_path_of_a_page_exists(page: Path) -> None:
    named = paths(page)
    assert len(named) > 30
    assert not [path for path in named if not exists(path)]


def test_a_path_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See `runs/paper/run.py`, `runs/paper/story.py` -> venue/nowhere/ and `opslab.py`, [x](gone/away.md).\n"
    )
    assert [path for path in paths(page) if not exists(path)] == ["opslab.py", "runs/paper/story.py", "venue/nowhere/"]


def test_the_folder_table_has_every_folder() -> None:
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("## Folders")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `([\w/]+)/` \|", section, re.MULTILINE))
    files = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in files if path.name != "__init__.py"} - {"."}
    assert named == folders | {"resources"}


def constant(name: str) -> Any:
    """A table of the architecture test."""
    tree = ast.parse((ROOT / "tests" / "architecture" / "test_architecture.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    return next(ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == name)


def test_the_layers_of_the_page_are_those_that_are_enforced() -> None:
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("## Layers")[2].partition("\n## ")[0]
    packages = [set(line.split(" · ")) for line in section.split("```")[1].strip().splitlines()]
    assert packages == constant("LAYERS")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert {name: [set(layer.split(" · ")) for layer in row.split(" / ")] for name, row in rows} == constant(
        "SUBLAYERS"
    )


def glossary() -> list[list[str]]:
    rows = re.findall(r"^\| (.*) \|$", WORDS.read_text(encoding="utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows][2:]


def test_the_glossary_is_sorted_and_each_word_has_one_row() -> None:
    words = [word for word, *_ in glossary()]
    assert len(words) > 100
    assert words == sorted(set(words), key=str.lower)
    assert all(len(row) == 3 and row[1] for row in glossary())


def test_every_word_of_the_glossary_is_in_use() -> None:
    """In the source or on another page, as words or as an identifier."""
    files = [*SOURCE.rglob("*.py"), *(page for page in DOCS.rglob("*.md") if page != WORDS)]
    text = re.sub(r"[_-]", " ", "\n".join(path.read_text(encoding="utf-8") for path in files).lower())
    assert not [word for word, *_ in glossary() if not re.search(rf"\b{re.escape(word.lower())}", text)]
