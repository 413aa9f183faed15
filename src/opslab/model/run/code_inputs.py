"""Code inputs of a run, stored with it: they show later changes, and allow to run it again."""

from opslab.model.primitives.canonical import digest
from opslab.model.primitives.record import Record


class CodeParts(Record):
    """`inputs/code.json`: the parts of the code digest."""

    package: dict[str, str]
    """Digest of each file of the lab's own package, by relative path."""
    distributions: tuple[str, ...]
    """`name==version` of every installed distribution, sorted."""
    strategy: dict[str, str]
    """Digest of each file of a user strategy, by name; empty for a scenario. See `runs/planning/strategy_files.py`."""

    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))
