"""From a YAML file to a run spec, with every mistake at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

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
    """A valid spec, the text it came from, and where its fields stand in it."""

    spec: BacktestSpec
    tree: Tree
    text: str
    file: str

    @property
    def text_digest(self) -> str:
        return digest_bytes(self.text.encode())

    def mistake(self, field: KeyPath, message: str) -> Mistake:
        """One that was found later, with the place of `field` or of its nearest parent."""
        line, column = self.tree.place(field)
        return Mistake(message, line=line, column=column, field=dotted(field))

    def refused(self, mistakes: Iterable[Mistake], hint: str) -> InvalidSpec:
        return InvalidSpec(self.file, _in_file_order(mistakes), hint=hint)


def load_spec(path: Path) -> LoadedSpec:
    """Read, parse and check. Raises NotFound, Environment, or InvalidSpec with all mistakes, in file order."""
    file = shown_path(path)
    text = read_text(path)
    tree = parse(text, file)
    return LoadedSpec(_spec(tree, file), tree, text, file)


def spec_of(text: str, file: str) -> BacktestSpec:
    """The spec that `text` describes; `file` is its name in messages."""
    return _spec(parse(text, file), file)


def _spec(tree: Tree, file: str) -> BacktestSpec:
    spec: BacktestSpec | None = None
    mistakes = list(tree.mistakes)
    try:
        spec = BacktestSpec.model_validate(tree.value)
    except ValidationError as error:
        mistakes += [_mistake(found, tree) for found in error.errors(include_url=False)]
    if spec is None or mistakes:
        raise InvalidSpec(file, _in_file_order(mistakes))
    return spec


def _in_file_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0))


def _mistake(found: Any, tree: Tree) -> Mistake:
    located: KeyPath = found["loc"]
    path = tuple(part for part, _ in _steps(located))
    if path and located[-1] != path[-1]:  # it is the variant itself that is wrong
        located = located[:-1]
    line, column = tree.place(path)
    return Mistake(_message(found, located), line=line, column=column, field=dotted(path))


def _message(found: Any, path: KeyPath) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "missing":
        options = " or ".join(str(option) for option in _options(path))
        return f"is missing: {_description(path)}{f'; must be {options}' if options else ''}"
    if kind == "extra_forbidden":
        return _unknown_field(path)
    if kind == "literal_error":
        return _not_one_of(path, found["input"])
    if kind == "kind_of_strategy":
        return _kind_of_strategy(found["msg"], found["input"])
    if kind == "value_error" and isinstance(found["input"], dict):
        return str(context["error"])
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


def _kind_of_strategy(message: str, given: dict[str, Any]) -> str:
    if "name" in given:
        return f"{message}; got both"
    known = ["name", "version", "path", "config_path", "config"]
    guesses = [close for key in given for close in nearest(key, known, 1) if key not in known]
    guess = f" (did you mean '{guesses[0]}'?)" if guesses else ""
    return f"{message}; got neither{guess}"


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
    model: type[BaseModel] | None = BacktestSpec
    for _part, model in _steps(path):  # noqa: B007  (the last one is wanted)
        pass
    return model


def _steps(located: KeyPath) -> Iterator[tuple[str | int, type[BaseModel] | None]]:
    """Every key of a place, with the model below it; names of a union's variants are no keys and left out."""
    model: type[BaseModel] | None = BacktestSpec
    parts = iter(located)
    for part in parts:
        inner = model.model_fields.get(str(part)) if model else None
        kind: Any = inner.annotation if inner else None
        variants = _variants(kind)
        if variants:
            kind = variants.get(str(next(parts, None)))
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        yield part, model


def _variants(kind: Any) -> dict[str, Any]:
    """The models of a tagged union, by tag; none when `kind` is not one."""
    members = [get_args(member) for member in get_args(kind)]
    return {mark.tag: found[0] for found in members for mark in found[1:] if isinstance(mark, Tag)}
