"""The architecture, as a test: who may import whom, and where the outside world may be touched.

Read LAYERS from bottom to top. A package may import packages on lower lines only; packages on one line are siblings
and do not know each other. SUBLAYERS says the same of the folders and modules inside a package. The other tables give
each third-party package, and each way to touch the outside world, its home.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "opslab"
TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent / "src" / PACKAGE

LAYERS = [
    {"errors"},
    {"model"},
    {"ports"},
    {"metrics", "settings", "system", "resources"},
    {"store"},
    {"context"},
    {"specs", "datasets", "killswitch", "reconciliation", "connectivity", "venue", "nautilus"},
    {"runs"},
    {"drills"},
    {"lab", "children"},
    {"cli"},
]

# Inside a package, bottom to top: its folders, and the modules beside them.
SUBLAYERS = {
    "model": [{"primitives"}, {"market", "messages"}, {"run"}, {"checks"}, {"journal"}, {"pipe"}, {"spec"}],
    "store": [
        {"files", "layout", "lock", "snapshot_file"},
        {"chained_lines"},
        {"crash", "disk", "kill_switch_files", "logs", "run_ends", "venues"},
        {"runs"},
    ],
    "datasets": [
        {"dataset_records", "origin"},
        {"candles"},
        {"fingerprint", "quality"},
        {"catalog", "sources"},
        {"check", "playback"},
        {"prepare"},
    ],
    "metrics": [{"connections", "family"}, {"exposition"}, {"server"}],
    "venue": [
        {"api_error", "counters", "event_log", "fault_hooks"},
        {"account", "market"},
        {"transport"},
        {"bar_pacing", "market_publisher", "replay"},
        {"exchange"},
        {"endpoints", "faults"},
        {"control"},
        {"venue"},
    ],
    "nautilus": [
        {"canonical", "engine_log", "instrument"},
        {"strategy"},
        {"outcome", "stop_actor"},
        {"backtest"},
        {"live"},
    ],
    "runs": [
        {"planning", "processes", "record"},
        {"checks", "safety", "traces"},
        {"claim"},
        {"end"},
        {"lifecycle"},
        {"backtest", "paper"},
        {"comparison", "recovery", "render"},
    ],
    "drills": [
        {"drill", "history", "known_limits", "recorded"},
        {"judgement", "kinds"},
        {"chaostoolkit", "metrics", "registry", "report", "spans", "trend"},
        {"execution"},
    ],
    "lab": [
        {"context"},
        {"connectivity", "crash", "data", "kill", "metrics", "reconcile", "spec", "venue"},
        {"run"},
        {"drill"},
    ],
    "cli": [
        {"options", "output", "plain_command"},
        {"progress"},
        {"connectivity", "data", "drill", "kill", "metrics", "reconcile", "run", "spec", "venue"},
        {"app"},
    ],
}

# Packages that see the ports and nothing else.
NARROW = {"nautilus": {"errors", "model", "ports"}, "venue": {"errors", "model", "ports"}}

# What a command imports besides `lab/<its noun>`, and the reason.
OPEN_TO_COMMANDS = {
    "errors": "commands turn exceptions into text and exit codes",
    "model": "commands print records, and turn text into ids",
    "settings": "the home and its source are printed",
    "context": "the type in signatures",
    "lab.context": "opens the context",
    "system.StopSignals": "a command says on the terminal what a signal does",
    "system.ignore_signals": "an activation is not stopped by the end of its terminal",
    "system.raise_on_signals": "the process's handlers are those of the console script",
    "lab.crash": "app.py reports bugs",
}

# Third-party packages and their homes. pydantic and rich go anywhere.
HOMES = {
    "nautilus_trader": ("nautilus/",),
    "pyarrow": ("datasets/",),
    "typer": ("cli/",),
    "yaml": ("specs/yaml_tree.py",),
    "jinja2": ("runs/record/report.py",),
    "aiohttp": ("venue/transport/", "metrics/server.py"),
    "prometheus_client": ("metrics/exposition.py",),
    "h11": ("connectivity/",),
    "inotify_simple": ("killswitch/watcher.py",),
    "opentelemetry": ("runs/traces/export.py",),
    "pydantic": ("",),
    "pydantic_core": ("",),
    "rich": ("",),
}

# Ways to touch the outside world and their homes. `x.*`: anything of module x; `.x`: a method of that name.
TOUCH = {
    "datetime.now": ("system.py",),
    "datetime.utcnow": ("system.py",),
    "time.time": ("system.py",),
    "time.time_ns": ("system.py",),
    "time.gmtime": ("store/crash.py",),
    "time.monotonic": ("system.py", "store/lock.py", "cli/progress.py", "cli/run/paper_board.py"),
    "time.perf_counter": ("nautilus/backtest.py", "nautilus/live/node.py"),
    "time.sleep": (
        "system.py",
        "store/lock.py",
        "runs/safety/start_gate.py",
        "nautilus/live/node.py",
        "children/pipe.py",
    ),
    "uuid.uuid4": ("system.py",),
    "secrets.*": ("system.py",),
    "os.urandom": ("store/",),
    "os.environ": ("settings.py",),
    "os.getenv": ("settings.py",),
    "subprocess.*": (
        "runs/planning/identity.py",
        "runs/planning/strategy_inspection.py",
        "runs/processes/child_process.py",
        "drills/execution/run_process.py",
    ),
    "socket.socket": ("connectivity/", "runs/processes/venue_control_client.py", "venue/transport/listener.py"),
    ".write_text": ("store/",),
    ".write_bytes": ("store/",),
    ".mkdir": ("store/",),
    ".symlink_to": ("store/",),
    ".unlink": ("store/",),
    "os.mkdir": ("store/",),
    "os.unlink": ("store/", "venue/control/control_socket.py"),
    "os.replace": ("store/",),
    "os.rename": ("store/", "datasets/catalog.py"),
    "shutil.*": ("store/",),
    "print": ("cli/output.py",),
}

# Public class names that several modules may have.
DOUBLED_CLASSES = {"Terms"}  # of each kind of fault

# Folders that decide and do nothing else: they import none of these.
PURE = ("venue/market", "venue/account", "runs/paper/machine", "drills/judgement")
EFFECTS = {"aiohttp", "asyncio", "os", "pathlib", "socket", "subprocess", "threading"}

MAX_FILES = 15
"""In a folder."""
MANY_FILES = ("venue/faults/kinds",)
"""One file a kind."""
MAX_LINES, MAX_FUNCTION_LINES = 400, 60
MAX_UNTYPED = 165
"""`dict[str, Any]` and `Mapping[str, Any]` in the product. A ratchet: lower it with every one that goes."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))
LAB = [".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]) for path in FILES if "lab" in path.parts]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def owner(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, those inside functions included."""
    package = [PACKAGE, *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from package import name`: name may be a module
                yield node.lineno, f"{module}.{alias.name}" if module.startswith(PACKAGE) else module


def touches(path: Path) -> Iterator[tuple[int, str]]:
    """(line, key of TOUCH) of every name that reaches outside, called or handed on."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = ast.unparse(node)
            method = f".{node.attr}" if ast.unparse(node.value) != "os" else None
            module = f"{name.rpartition('.')[0]}.*"
            yield from ((node.lineno, key) for key in (name, method, module) if key in TOUCH)
        elif isinstance(node, ast.Name) and node.id in TOUCH:
            yield node.lineno, node.id
        elif isinstance(node, ast.ImportFrom):  # `from time import sleep`
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [f"{node.module}.*"]
            yield from ((node.lineno, name) for name in names if name in TOUCH)


def written_by_open(path: Path) -> Iterator[int]:
    """Lines with `open(..., mode)` where the mode writes."""
    for node in ast.walk(parsed(path)):
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


@pytest.mark.parametrize("package", SUBLAYERS)
def test_imports_inside_a_package_point_down(package: str) -> None:
    level = {name: number for number, names in enumerate(SUBLAYERS[package]) for name in names}
    for path in sorted((ROOT / package).rglob("*.py")):
        me = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if me == "__init__":
            continue
        assert me in level, f"{where(path)}: give {me!r} a line in SUBLAYERS"
        for line, module in imports(path):
            parts = module.split(".")
            if parts[:2] != [PACKAGE, package] or len(parts) < 3 or parts[2] == me or parts[2] not in level:
                continue
            assert level[parts[2]] < level[me], f"{where(path)}:{line}: {me} may not import {parts[2]}"


def test_a_command_imports_the_lab_module_of_its_noun_alone() -> None:
    used: set[str] = set()
    for path in sorted((ROOT / "cli").rglob("*.py")):
        noun = path.relative_to(ROOT / "cli").parts[0].removesuffix(".py")
        for line, module in imports(path):
            package, _, name = module.partition(".")
            if package != PACKAGE or name == "__version__" or name.split(".")[0] == "cli":
                continue
            opened = {known for known in OPEN_TO_COMMANDS if f"{name}.".startswith(f"{known}.")}
            used |= opened
            own = f"{name}.".startswith(f"lab.{noun}.")
            assert own or opened, f"{where(path)}:{line}: {noun} imports lab/{noun}, not {module}"
    assert used == set(OPEN_TO_COMMANDS), f"no command imports {set(OPEN_TO_COMMANDS) - used}"


def test_no_function_of_the_lab_only_renames() -> None:
    """A function that hands on its parameters as they came is re-exported instead."""
    for path in sorted((ROOT / "lab").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or not isinstance(node.body[-1], ast.Return):
                continue
            call = node.body[-1].value
            steps = [each for each in node.body[:-1] if not isinstance(each, ast.Import | ast.ImportFrom | ast.Expr)]
            if isinstance(call, ast.Call) and not steps:
                given = [ast.unparse(each) for each in [*call.args, *(key.value for key in call.keywords)]]
                names = [each.arg for each in [*node.args.args, *node.args.kwonlyargs]]
                assert not names or given != names, f"{where(path)}:{node.lineno}: re-export {ast.unparse(call.func)}"


def test_every_room_that_is_named_exists() -> None:
    packages = [name for names in LAYERS for name in names]
    inside = [f"{package}/{name}" for package, lines in SUBLAYERS.items() for names in lines for name in names]
    for room in [*packages, *inside]:
        assert (ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file(), f"{room} does not exist"
    homes = [home for table in (HOMES, TOUCH) for homes in table.values() for home in homes]
    for home in [*homes, *PURE, *MANY_FILES]:
        assert (ROOT / home).exists(), f"{home} does not exist"


@pytest.mark.parametrize("folder", PURE)
def test_folders_that_decide_have_no_effects(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for line, module in imports(path):
            assert module.split(".")[0] not in EFFECTS, f"{where(path)}:{line}: {folder} may not import {module}"


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
        ("import opslab.lab.context, opslab.lab.kill, opslab.lab.run.listing",
         {"nautilus_trader", "pyarrow", "yaml", "jinja2", "rich", "pydantic"}),
        (f"import {', '.join(LAB)}", {"nautilus_trader", "pyarrow", "aiohttp", "rich"}),
        ("import sys; sys.argv = ['tc', '--help']; from opslab.cli.app import app; app(standalone_mode=False)",
         {"nautilus_trader", "pyarrow", "yaml", "jinja2", "rich", "pydantic"}),
        ("import opslab.runs.paper.run", {"nautilus_trader", "pyarrow", "aiohttp"}),
    ],
    ids=["kill and list", "lab", "help", "paper"],
)  # fmt: skip
def test_control_starts_light(program: str, unwanted: set[str]) -> None:
    code = f"{program}\nimport sys; print('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert not loaded & unwanted


def test_no_heaps() -> None:
    """No file over 400 lines, no function over 60, decorators apart: what noun is hiding in it?"""
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= MAX_LINES, f"{where(path)} is a heap"
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                assert size <= MAX_FUNCTION_LINES, f"{where(path)}:{node.lineno} {node.name} has {size} lines"


def test_no_crowded_folders() -> None:
    for folder in sorted({path.parent for path in FILES}):
        count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        assert count <= MAX_FILES or where(folder) in MANY_FILES, f"{where(folder)} has {count} files"


def test_untyped_mappings_become_fewer() -> None:
    count = sum(len(re.findall(r"\b(?:dict|Mapping)\[str, Any\]", path.read_text())) for path in FILES)
    assert count <= MAX_UNTYPED, f"{count} are more than {MAX_UNTYPED}: give the new one a type"


def test_a_class_name_is_in_one_module() -> None:
    modules: dict[str, list[str]] = {}
    for path in FILES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(where(path))
    doubled = {name: paths for name, paths in modules.items() if len(paths) > 1 and name not in DOUBLED_CLASSES}
    assert not doubled, f"one name, several classes: {doubled}"


def test_unit_tests_mirror_the_tree() -> None:
    unit = TESTS / "unit"
    for path in sorted(unit.rglob("test_*.py")):
        folder = path.parent.relative_to(unit)
        assert (ROOT / folder).is_dir(), f"tests/unit/{folder} has no src/{PACKAGE}/{folder}"


def test_test_modules_do_not_import_each_other() -> None:
    """What they share is in tests/drivers, tests/fakes or tests/oracles, or in a helper module beside them."""
    for path in sorted(TESTS.rglob("test_*.py")):
        folder = ["tests", *path.parent.relative_to(TESTS).parts]
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("tests."):
                continue
            for alias in node.names:
                parts = [*(node.module or "").split("."), alias.name]
                is_helper = parts[: len(folder)] == folder and not parts[len(folder)].startswith("test_")
                is_shared = parts[1] in ("drivers", "fakes", "oracles")
                is_its_program = parts[1] == "breaking" and path.name == "test_breaking.py"
                message = f"{path.relative_to(TESTS)}:{node.lineno}: imports from {node.module}"
                assert is_helper or is_shared or is_its_program, message
