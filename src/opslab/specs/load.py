"""From a YAML file to a run spec, with every mistake at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from opslab.errors import InvalidSpec, Mistake
from opslab.model.canonical import digest_bytes
from opslab.model.ids import nearest
from opslab.model.secrets import HIDDEN, looks_like_secret
from opslab.model.spec import BacktestSpec
from opslab.specs.yaml_tree import KeyPath, Tree, dotted, parse, read_text, shown_path

_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping of fields",
    "list_type": "a list",
    "tuple_type": "a list",
}


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A valid spec, and the text it came from."""

    spec: BacktestSpec
    text: str
    file: str

    @property
    def text_digest(self) -> str:
        return digest_bytes(self.text.encode())


def load_spec(path: Path) -> LoadedSpec:
    """Read, parse and check. Raises NotFound, Environment, or InvalidSpec with all mistakes, in file order."""
    file = shown_path(path)
    text = read_text(path)
    return LoadedSpec(spec_of(text, file), text, file)


def spec_of(text: str, file: str) -> BacktestSpec:
    """The spec that `text` describes; `file` is its name in messages."""
    tree = parse(text, file)
    spec: BacktestSpec | None = None
    mistakes = list(tree.mistakes)
    try:
        spec = BacktestSpec.model_validate(tree.value)
    except ValidationError as error:
        mistakes += [_mistake(found, tree) for found in error.errors(include_url=False)]
    if spec is None or mistakes:
        raise InvalidSpec(file, sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0)))
    return spec


def _mistake(found: Any, tree: Tree) -> Mistake:
    path: KeyPath = found["loc"]
    line, column = tree.place(path)
    return Mistake(_message(found, path), line=line, column=column, field=dotted(path))


def _message(found: Any, path: KeyPath) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "missing":
        options = " or ".join(str(option) for option in _options(path))
        return f"is missing: {_description(path)}{f'; must be {options}' if options else ''}"
    if kind == "extra_forbidden":
        return _unknown_field(path)
    if kind == "literal_error":
        return _not_one_of(path, found["input"])
    if kind == "value_error":
        return f"{context['error']}{_got(path, found['input'])}"
    bounds = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
    bounds["less_than_equal"] = "at most"
    if kind in bounds:
        limit = next(iter(context.values()))
        return f"must be {bounds[kind]} {limit}{_got(path, found['input'])}"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}{_got(path, found['input'])}: {_description(path)}"
    return f"{found['msg']}{_got(path, found['input'])}"


def _unknown_field(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    known = list(model.model_fields) if model else []
    close = nearest(str(path[-1]), known, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown field{guess}; known here: {', '.join(known)}"


def _not_one_of(path: KeyPath, given: Any) -> str:
    known = [str(option) for option in _options(path)]
    close = nearest(given, known, 1) if isinstance(given, str) else []
    guess = f"; did you mean '{close[0]}'?" if close else ""
    return f"must be {' or '.join(known)}{_got(path, given)}{guess}"


def _got(path: KeyPath, given: Any) -> str:
    """What was found instead, unless it may be a secret."""
    if given is None:
        return ", got nothing"
    if isinstance(given, dict):
        return ", got a mapping"
    if isinstance(given, list):
        return ", got a list"
    text = str(given).lower() if isinstance(given, bool) else str(given)
    if looks_like_secret(text, str(path[-1]) if path else ""):
        return f", got {HIDDEN}"
    return f", got {ascii(text[:40]) if isinstance(given, str) else text[:40]}{'...' if len(text) > 40 else ''}"


def _description(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    known = model.model_fields.get(str(path[-1])) if model and path else None
    return (known.description if known else None) or "see tc spec schema"


def _options(path: KeyPath) -> tuple[Any, ...]:
    model = _model_at(path[:-1])
    kind = model.model_fields[str(path[-1])].annotation if model else None
    return get_args(kind) if get_origin(kind) is Literal else ()


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """The model whose fields stand below `path`."""
    model: type[BaseModel] = BacktestSpec
    for part in path:
        inner = model.model_fields.get(str(part))
        kind = inner.annotation if inner else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model
