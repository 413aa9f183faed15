"""Load a user's strategy class: find, import and check it, and make the strategy, guarded like a scenario.

Before the user's module is imported, the engine's `Strategy` is replaced with the guarded class under every name: the
user's class derives from it in any case, and its `super()` calls are guarded too. Only children may call this.
"""

import importlib
import importlib.util
import inspect
import site
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from nautilus_trader.model import StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

import opslab
from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.model.primitives.exact_json import from_exact_json
from opslab.model.primitives.ids import nearest
from opslab.nautilus.strategy.config_values import ConfigFinding, config_keys, convert_values
from opslab.nautilus.strategy.guarded import DEFAULT_ID, HANDLERS, Guarded, describe_exception, shorten

_UNSUPPORTED = {
    "manage_stop": "manage_stop does not work in a backtest of this engine: the run would never end; "
    "for the account at the end of a paper run use paper.on_stop",
    "use_uuid_client_order_ids": "use_uuid_client_order_ids gives equal runs different orders",
}
_MESSAGE_CHARACTERS = 400


class UnusableStrategy(Exception):
    """The strategy cannot be made. `findings` are the reasons, all of them where that is possible."""

    def __init__(self, *findings: ConfigFinding) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class UserStrategy:
    """A user's strategy, made, not yet bound to a recorder."""

    strategy: Guarded
    keys: list[str]
    """Parameters of its config."""


def module_locations(plan: UserStrategyPlan) -> list[str]:
    """Files and folders of the modules that the plan names, found without executing any of them."""
    folder = Path(plan.folder)
    _add_to_search_path(folder)
    return sorted({location for path in (plan.path, plan.config_path) if path for location in _locations(path)})


def load(plan: UserStrategyPlan) -> UserStrategy:
    """Import the classes and make the strategy. Raises UnusableStrategy."""
    folder = Path(plan.folder)
    _add_to_search_path(folder)
    _replace_strategy_base()
    kind = _strategy_class(plan.path, folder)
    config, keys = _config(plan, folder)
    for name, reason in _UNSUPPORTED.items():
        if getattr(config, name, False) is True:
            raise UnusableStrategy(ConfigFinding(("config", name), reason))
    try:
        strategy = kind(config)
    except BaseException as error:  # noqa: BLE001  (any exception of the user's code is reported)
        message = f"{kind.__name__}(config) raised {_describe_with_line(error)}"
        raise UnusableStrategy(ConfigFinding(("path",), message)) from None
    if not isinstance(strategy, Guarded):
        raise UnusableStrategy(
            ConfigFinding(("path",), f"{kind.__name__}(config) returned a {type(strategy).__name__}, not a strategy")
        )
    return UserStrategy(strategy, keys)


def _replace_strategy_base() -> None:
    """Replace the engine's `Strategy` with `Guarded` in all of its modules."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith("nautilus_trader") and vars(module).get("Strategy") is Strategy:
            setattr(module, "Strategy", Guarded)  # noqa: B010


def _add_to_search_path(folder: Path) -> None:
    """Search the folder after the standard library and before installed packages; write no bytecode there."""
    sys.dont_write_bytecode = True
    text = str(folder)
    if text in sys.path:
        return
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    positions = [index for index, path in enumerate(sys.path) if path in installed]
    sys.path.insert(min(positions, default=len(sys.path)), text)
    importlib.invalidate_caches()


def _locations(path: str) -> list[str]:
    """File or folders of the top-level module or package of `path`; empty when it is not found."""
    top_level = path.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top_level)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [str(Path(folder)) for folder in spec.submodule_search_locations]
    return [spec.origin] if spec.has_location and spec.origin else []


def _strategy_class(path: str, folder: Path) -> type[Guarded]:
    if path.startswith("opslab."):
        message = f"{path} is a class of the lab: select a scenario with strategy.name"
        raise UnusableStrategy(ConfigFinding(("path",), message))
    kind = _class(path, folder, "path")
    problem = None
    if kind is Guarded or kind is Strategy:
        problem = "is the engine's base class itself; name a class that derives from it"
    elif not issubclass(kind, Guarded):
        also = " (it is an actor)" if any("DataActor" in base.__name__ for base in kind.__mro__) else ""
        problem = f"is not a strategy{also}: it must derive from nautilus_trader.trading.Strategy"
    if problem:
        raise UnusableStrategy(ConfigFinding(("path",), f"{path} {problem}"))
    for name in HANDLERS:
        handler = getattr(kind, name)
        if not callable(handler):
            raise UnusableStrategy(ConfigFinding(("path",), f"{kind.__name__}.{name} is not a method"))
        if inspect.iscoroutinefunction(handler):
            message = f"{kind.__name__}.{name} is async; the engine would never await it: make it a plain method"
            raise UnusableStrategy(ConfigFinding(("path",), message))
    return kind


def _class(path: str, folder: Path, field: str) -> type[Any]:
    module_name, _, name = path.partition(":")
    module = _import(module_name, folder, field)
    value = getattr(module, name, None)
    if isinstance(value, type):
        return value
    classes = [
        key for key, member in vars(module).items() if isinstance(member, type) and member.__module__ == module_name
    ]
    listing = f"; classes of the module: {', '.join(classes[:20])}" if classes else "; the module has no classes"
    problem = "is not a class" if value is not None else "is missing"
    similar = nearest(name, classes, 1)
    guess = f" (did you mean '{similar[0]}'?)" if similar else ""
    raise UnusableStrategy(ConfigFinding((field,), f"class {name} {problem} in module {module_name}{guess}{listing}"))


def _import(name: str, folder: Path, field: str) -> ModuleType:
    _require_not_hidden(name, folder, field)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            modules = sorted(
                {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/*.py")}
            )
            listing = f"; modules in the folder: {', '.join(modules[:20])}" if modules else ""
            message = f"module {error.name} not found in the spec's folder nor among the installed packages{listing}"
            raise UnusableStrategy(ConfigFinding((field,), message)) from None
        raise _not_importable(name, error, field) from None
    except BaseException as error:  # noqa: BLE001  (any exception of the user's code is reported)
        raise _not_importable(name, error, field) from None


def _not_importable(name: str, error: BaseException, field: str) -> UnusableStrategy:
    return UnusableStrategy(ConfigFinding((field,), f"module {name} cannot be imported: {_describe_with_line(error)}"))


def _require_not_hidden(name: str, folder: Path, field: str) -> None:
    """Python does not find a module of the folder when the standard library or a loaded package has its name."""
    top_level = name.partition(".")[0]
    if not (folder / f"{top_level}.py").exists() and not (folder / top_level).is_dir():
        return
    if any(Path(location).is_relative_to(folder) for location in _locations(name)):
        return
    other = "a module of the standard library" if top_level in sys.stdlib_module_names else "an installed module"
    message = f"module {top_level} of the spec's folder is hidden by {other} with the same name: rename it"
    raise UnusableStrategy(ConfigFinding((field,), message))


def _config(plan: UserStrategyPlan, folder: Path) -> tuple[Any, list[str]]:
    """The config object, and its possible keys."""
    if plan.config_path is None:
        return StrategyConfig(strategy_id=StrategyId(DEFAULT_ID)), []
    kind = _class(plan.config_path, folder, "config_path")
    keys = config_keys(kind)
    values, findings = convert_values(keys, from_exact_json(plan.config))
    if findings:
        raise UnusableStrategy(*findings)
    try:
        return _make_config(kind, values, keys is not None and "strategy_id" in keys), list(keys or ())
    except BaseException as error:  # noqa: BLE001  (any exception of the user's code is reported)
        message = f"{kind.__name__}(...) raised {_describe_with_line(error)}"
        raise UnusableStrategy(ConfigFinding(("config",), message)) from None


def _make_config(kind: type[Any], values: dict[str, Any], has_strategy_id: bool) -> Any:
    """The config, with the lab's default id unless the values have one. has_strategy_id: as a key of the class."""
    default = {"strategy_id": StrategyId(DEFAULT_ID)}
    if has_strategy_id:
        return kind(**{**default, **values})
    new: Any = kind.__new__
    if new is StrategyConfig.__new__:  # this makes the engine's part, and accepts any keyword
        config = new(kind, **{**values, **default})
        config.__init__(**values)
        return config
    return kind(**values)


def _describe_with_line(error: BaseException) -> str:
    """The exception, with file and line in the user's code, on one line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user_code(frame.filename)]
    location = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{shorten(' '.join(describe_exception(error).split()), _MESSAGE_CHARACTERS)}{location}"


def _is_user_code(filename: str) -> bool:
    """Whether the file belongs neither to the lab nor to Python's import machinery."""
    return not filename.startswith(("<frozen", str(Path(opslab.__file__).parent), str(Path(importlib.__file__).parent)))
