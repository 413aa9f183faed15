"""The architecture, as a test: who may import whom, and where the outside world may be touched.

Read LAYERS from bottom to top. A package may import packages on lower lines only; packages on one line are siblings
and do not know each other. The other tables give each third-party package, and each way to touch the outside, its home.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "opslab"
ROOT = Path(__file__).parents[2] / "src" / PACKAGE

LAYERS = [
    {"errors"},
    {"model"},
    {"ports"},
    {"metrics", "settings", "system", "resources"},
    {"store"},
    {"specs", "datasets", "killswitch", "reconciliation", "connectivity", "venue", "nautilus"},
    {"runs"},
    {"drills"},
    {"lab", "children"},
    {"cli"},
]

# Packages that see the seams and nothing else.
NARROW = {"nautilus": {"errors", "model", "ports"}, "venue": {"errors", "model", "ports"}}

# Third-party packages and their homes. pydantic and rich go anywhere.
HOMES = {
    "nautilus_trader": ("nautilus/",),
    "pyarrow": ("datasets/",),
    "typer": ("cli/",),
    "yaml": ("specs/yaml_tree.py",),
    "jinja2": ("runs/record/report.py",),
    "aiohttp": ("venue/", "metrics/"),
    "h11": ("connectivity/",),
    "inotify_simple": ("killswitch/watcher.py",),
    "prometheus_client": ("metrics/",),
    "pydantic": ("",),
    "pydantic_core": ("",),
    "rich": ("",),
}

# Ways to touch the outside world and their homes: the clock, the environment, the disk, the terminal.
TOUCH = {
    "datetime.now": ("system.py",),
    "datetime.utcnow": ("system.py",),
    "time.time": ("system.py",),
    "time.time_ns": ("system.py",),
    "time.gmtime": ("store/crash.py",),
    "uuid.uuid4": ("system.py",),
    "os.environ": ("settings.py",),
    "os.getenv": ("settings.py",),
    ".write_text": ("store/",),
    ".write_bytes": ("store/",),
    "os.replace": ("store/",),
    "os.rename": ("store/", "datasets/catalog.py"),
    "print": ("cli/output.py",),
}

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def owner(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, those inside functions included."""
    package = [PACKAGE, *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from package import name`: name may be a module
                yield node.lineno, f"{module}.{alias.name}" if module.startswith(PACKAGE) else module


def touches(path: Path) -> Iterator[tuple[int, str]]:
    """(line, key of TOUCH) of every call or attribute that reaches outside; and writes by `open`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield from ((node.lineno, key) for key in TOUCH if name == key or (key[0] == "." and name.endswith(key)))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ":
            yield node.lineno, "os.environ"


def written_by_open(path: Path) -> Iterator[int]:
    """Lines with `open(..., mode)` where the mode writes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "os.fdopen", "Path.open"):
            modes = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
            if any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes):
                yield node.lineno


def at_home(path: Path, homes: tuple[str, ...]) -> bool:
    return any(where(path).startswith(home) for home in homes)


@pytest.mark.parametrize("path", FILES, ids=where)
def test_imports_point_down(path: Path) -> None:
    me = owner(path)
    if me in ("__init__", "__main__"):
        return
    assert me in LEVEL, f"{where(path)}: give {me!r} a line in LAYERS"
    for line, module in imports(path):
        if not module.startswith(PACKAGE + "."):
            continue
        other = module.split(".")[1]
        if other not in LEVEL:
            continue  # a name of the package itself, such as __version__
        allowed = NARROW.get(me) or {name for name, level in LEVEL.items() if level < LEVEL[me]}
        assert other == me or other in allowed, f"{where(path)}:{line}: {me} may not import {other}"


@pytest.mark.parametrize("path", FILES, ids=where)
def test_each_third_party_package_has_its_home(path: Path) -> None:
    known = sys.stdlib_module_names | {PACKAGE}
    for line, module in imports(path):
        package = module.split(".")[0]
        if package in known:
            continue
        assert package in HOMES, f"{where(path)}:{line}: give {package} a home in HOMES"
        assert at_home(path, HOMES[package]), f"{where(path)}:{line}: {package} lives in {HOMES[package]}"


@pytest.mark.parametrize("path", FILES, ids=where)
def test_the_outside_world_has_its_homes(path: Path) -> None:
    for line, call in touches(path):
        assert at_home(path, TOUCH[call]), f"{where(path)}:{line}: {call} lives in {TOUCH[call]}"
    for line in written_by_open(path):
        assert at_home(path, ("store/",)), f"{where(path)}:{line}: files are written in store/"


def test_no_module_cycles() -> None:
    module = {PACKAGE + "." + where(p)[:-3].removesuffix("/__init__").replace("/", "."): p for p in FILES}
    graph = {
        m: {t for _, name in imports(p) for t in (name, name.rpartition(".")[0]) if t in module} - {m}
        for m, p in module.items()
    }
    while True:  # peel what imports nothing left, and what nothing left imports; a cycle stays
        imported = set().union(*graph.values()) if graph else set()
        loose = [m for m, targets in graph.items() if not targets & graph.keys() or m not in imported]
        if not loose:
            break
        for m in loose:
            del graph[m]
    assert not graph, f"import cycle among {sorted(graph)}"


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import opslab.lab", {"nautilus_trader", "pyarrow", "yaml", "jinja2"}),
        ("import sys; sys.argv = ['tc', '--help']; from opslab.cli.app import app; app(standalone_mode=False)",
         {"nautilus_trader", "pyarrow", "yaml", "jinja2", "rich", "pydantic"}),
        ("import opslab.runs.paper.run", {"nautilus_trader", "pyarrow", "aiohttp"}),
    ],
    ids=["lab", "help", "paper"],
)  # fmt: skip
def test_control_starts_light(program: str, unwanted: set[str]) -> None:
    code = f"{program}\nimport sys; print('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert not loaded & unwanted


def test_no_heaps() -> None:
    """No file over 400 lines, no function over 60: what noun is hiding in it?"""
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{where(path)} is a heap"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                assert size <= 65, f"{where(path)}:{node.lineno} {node.name} has {size} lines"
