"""What a run was made of, kept with it: enough to say later what has changed, and to run it again."""

from opslab.model.primitives.canonical import digest
from opslab.model.primitives.record import Record


class CodeParts(Record):
    """`inputs/code.json`: what the code digest is of."""

    package: dict[str, str]
    """Digest of each file of the lab's own package, by relative path."""
    distributions: tuple[str, ...]
    """`name==version` of everything installed, sorted."""
    strategy: dict[str, str]
    """Digest of each file of a user's strategy, by name; empty of a scenario. See `runs/planning/strategy_files.py`."""

    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))
