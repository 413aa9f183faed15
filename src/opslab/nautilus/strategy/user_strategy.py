"""A strategy class of the user's: found, imported, checked and made, guarded like the lab's own.

Before the user's module is imported, `Strategy` of the engine is the guarded one, under every name it has: the
class derives from it whatever it does, and its `super()` calls are guarded too. Only children may call this.
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
from opslab.nautilus.strategy.config_values import ConfigFinding, converted, keys_of
from opslab.nautilus.strategy.guarded import DEFAULT_ID, HANDLERS, Guarded, bounded, described

_NOT_HERE = {
    "manage_stop": "manage_stop does not work in a backtest of this engine: its end would wait for ever; "
    "how a paper run leaves its account is paper.on_stop",
    "use_uuid_client_order_ids": "use_uuid_client_order_ids gives equal runs different orders",
}
_MESSAGE_CHARACTERS = 400


class Unusable(Exception):
    """The strategy cannot be made: `findings` says why, all at once where that is possible."""

    def __init__(self, *findings: ConfigFinding) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class UserStrategy:
    """A user's strategy, made, not yet bound."""

    strategy: Guarded
    keys: list[str]
    """What its config takes."""


def places_of(plan: UserStrategyPlan) -> list[str]:
    """Files and folders that hold the modules named in the plan, found without executing any of them."""
    _be_found(Path(plan.folder))
    found = {place for path in (plan.path, plan.config_path) if path for place in _origin(path, Path(plan.folder))}
    return sorted(found)


def load(plan: UserStrategyPlan) -> UserStrategy:
    """Import the classes and make the strategy. Raises Unusable."""
    folder = Path(plan.folder)
    _be_found(folder)
    _put_guard_in_place()
    kind = _strategy_class(plan.path, folder)
    config, keys = _config(plan, folder)
    for name, why in _NOT_HERE.items():
        if getattr(config, name, False) is True:
            raise Unusable(ConfigFinding(("config", name), why))
    try:
        strategy = kind(config)
    except BaseException as error:  # noqa: BLE001  (whatever the user's code raises is told)
        raise Unusable(ConfigFinding(("path",), f"{kind.__name__}(config) raised {_told(error)}")) from None
    if not isinstance(strategy, Guarded):
        raise Unusable(
            ConfigFinding(("path",), f"{kind.__name__}(config) gave a {type(strategy).__name__}, no strategy")
        )
    return UserStrategy(strategy, keys)


def _put_guard_in_place() -> None:
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name.startswith("nautilus_trader") and vars(module).get("Strategy") is Strategy:
            setattr(module, "Strategy", Guarded)  # noqa: B010


def _be_found(folder: Path) -> None:
    """Modules of the folder come behind the standard library's and before installed ones; no bytecode is left there."""
    sys.dont_write_bytecode = True
    text = str(folder)
    if text in sys.path:
        return
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    places = [index for index, path in enumerate(sys.path) if path in installed]
    sys.path.insert(min(places, default=len(sys.path)), text)
    importlib.invalidate_caches()


def _origin(path: str, folder: Path) -> list[str]:
    """Where the top-level module or package of `path` is; nothing when there is none."""
    top = path.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if found is None:
        return []
    if found.submodule_search_locations is not None:
        return [str(Path(place)) for place in found.submodule_search_locations]
    return [found.origin] if found.has_location and found.origin else []


def _strategy_class(path: str, folder: Path) -> type[Guarded]:
    if path.startswith("opslab."):
        raise Unusable(ConfigFinding(("path",), f"{path} is the lab's own: a scenario is named with strategy.name"))
    kind = _named_class(path, folder, "path")
    problem = None
    if kind is Guarded or kind is Strategy:
        problem = "is the engine's base class itself; name a class that derives from it"
    elif not issubclass(kind, Guarded):
        also = " (it is an actor)" if any("DataActor" in base.__name__ for base in kind.__mro__) else ""
        problem = f"is not a strategy{also}: it must derive from nautilus_trader.trading.Strategy"
    if problem:
        raise Unusable(ConfigFinding(("path",), f"{path} {problem}"))
    for name in HANDLERS:
        handler = getattr(kind, name)
        if not callable(handler):
            raise Unusable(ConfigFinding(("path",), f"{kind.__name__}.{name} is not a method"))
        if inspect.iscoroutinefunction(handler):
            message = f"{kind.__name__}.{name} is async; the engine would never await it: make it a plain method"
            raise Unusable(ConfigFinding(("path",), message))
    return kind


def _named_class(path: str, folder: Path, field: str) -> type[Any]:
    module_name, _, name = path.partition(":")
    module = _imported(module_name, folder, field)
    found = getattr(module, name, None)
    if isinstance(found, type):
        return found
    own = [key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module_name]
    has = f"; it has: {', '.join(own[:20])}" if own else "; it has no class at all"
    what = "is not a class" if found is not None else "is not there"
    close = nearest(name, own, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    raise Unusable(ConfigFinding((field,), f"class {name} {what} in module {module_name}{guess}{has}"))


def _imported(name: str, folder: Path, field: str) -> ModuleType:
    _refuse_hidden(name, folder, field)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            here = sorted(
                {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/*.py")}
            )
            has = f"; the folder has: {', '.join(here[:20])}" if here else ""
            message = f"module {error.name} not found in the spec's folder nor among the installed packages{has}"
            raise Unusable(ConfigFinding((field,), message)) from None
        raise Unusable(ConfigFinding((field,), f"module {name} cannot be imported: {_told(error)}")) from None
    except BaseException as error:  # noqa: BLE001  (whatever the user's code raises is told)
        raise Unusable(ConfigFinding((field,), f"module {name} cannot be imported: {_told(error)}")) from None


def _refuse_hidden(name: str, folder: Path, field: str) -> None:
    """A module of the folder is never found when Python, or what the lab has loaded, has one of that name."""
    top = name.partition(".")[0]
    if not (folder / f"{top}.py").exists() and not (folder / top).is_dir():
        return
    origins = _origin(name, folder)
    if any(Path(origin).is_relative_to(folder) for origin in origins):
        return
    whose = "Python's own" if top in sys.stdlib_module_names else "an installed one"
    raise Unusable(
        ConfigFinding((field,), f"module {top} of the spec's folder is hidden by {whose} of that name: rename it")
    )


def _config(plan: UserStrategyPlan, folder: Path) -> tuple[Any, list[str]]:
    """The config object, and the keys it could have been given."""
    if plan.config_path is None:
        return StrategyConfig(strategy_id=StrategyId(DEFAULT_ID)), []
    kind = _named_class(plan.config_path, folder, "config_path")
    keys = keys_of(kind)
    values, findings = converted(keys, from_exact_json(plan.config))
    if findings:
        raise Unusable(*findings)
    try:
        return _made(kind, values, keys is not None and "strategy_id" in keys), list(keys or ())
    except BaseException as error:  # noqa: BLE001  (whatever the user's code raises is told)
        raise Unusable(ConfigFinding(("config",), f"{kind.__name__}(...) raised {_told(error)}")) from None


def _made(kind: type[Any], values: dict[str, Any], takes_id: bool) -> Any:
    """The config, with the lab's default id unless it was given one."""
    default = {"strategy_id": StrategyId(DEFAULT_ID)}
    if takes_id:
        return kind(**{**default, **values})
    origin: Any = kind.__new__
    if origin is StrategyConfig.__new__:  # the engine's part is made here, and takes any keyword
        config = origin(kind, **{**values, **default})
        config.__init__(**values)
        return config
    return kind(**values)


def _told(error: BaseException) -> str:
    """What was raised and where, on one line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    messages = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    place = f" ({messages[-1].filename}:{messages[-1].lineno})" if messages else ""
    return f"{bounded(' '.join(described(error).split()), _MESSAGE_CHARACTERS)}{place}"


def _is_users(filename: str) -> bool:
    """A frame of neither the lab nor Python's import machinery."""
    return not filename.startswith(("<frozen", str(Path(opslab.__file__).parent), str(Path(importlib.__file__).parent)))
