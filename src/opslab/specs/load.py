"""Load a run spec from a YAML file, and report every mistake at once."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from opslab.errors import InvalidSpec, Mistake
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.spec.run_spec import RunSpec
from opslab.specs.mistakes import mistake_from_error, variant_of
from opslab.specs.yaml_tree import KeyPath, Tree, dotted, parse, read_text, shown_path


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A valid spec, its text, and the location of its fields in the text."""

    spec: RunSpec
    tree: Tree
    text: str
    file: str

    @property
    def text_digest(self) -> str:
        return digest_bytes(self.text.encode())

    def mistake(self, field: KeyPath, message: str) -> Mistake:
        """A mistake that a later check found, with the location of `field` or of its nearest parent."""
        line, column = self.tree.location(field)
        return Mistake(message, line=line, column=column, field=dotted(field))

    def invalid_spec(self, mistakes: Iterable[Mistake], hint: str) -> InvalidSpec:
        return InvalidSpec(self.file, _in_file_order(mistakes), hint=hint)


def load_spec(path: Path) -> LoadedSpec:
    """Read, parse and validate. Raises NotFound, Environment, or InvalidSpec with all mistakes in file order."""
    return parse_spec(read_text(path), shown_path(path))


def parse_spec(text: str, file: str) -> LoadedSpec:
    """The spec in `text`; `file` is its name in messages. Raises InvalidSpec with all mistakes in file order."""
    tree = parse(text, file)
    return LoadedSpec(_spec(tree, file), tree, text, file)


def folder_of(spec_file: Path) -> Path:
    """Absolute, without `..`, links kept: the folder that a user strategy's modules are loaded from."""
    return Path(os.path.abspath(spec_file)).parent  # noqa: PTH100  (`resolve` would follow symlinks)


def _spec(tree: Tree, file: str) -> RunSpec:
    spec: RunSpec | None = None
    variant = variant_of(tree.value)
    mistakes = list(tree.mistakes)
    try:
        spec = variant.model_validate(tree.value)
    except ValidationError as error:
        mistakes += [mistake_from_error(details, tree, variant) for details in error.errors(include_url=False)]
    if spec is None or mistakes:
        raise InvalidSpec(file, _in_file_order(mistakes))
    return spec


def _in_file_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0))
