"""Removes absolute paths of this machine from texts for artifacts."""

import re
from collections.abc import Iterable, Mapping


class PathRedactor:
    """Replaces known folders by names, and shortens every other path below a folder of `/` to its last part."""

    def __init__(self, known: Mapping[str, str], top_folders: Iterable[str]) -> None:
        """known: absolute folder to its replacement. top_folders: names of the entries of `/`."""
        self._known = sorted(((path, name) for path, name in known.items() if len(path) > 1), key=_longest_first)
        tops = "|".join(re.escape(name) for name in sorted(top_folders, key=len, reverse=True) if name)
        part = r"[^\s/\"'`,;:()<>|]+"
        self._path = re.compile(rf"(?<![\w.:/<>~-])/(?:{tops or '(?!)'})/(?:{part}/)*({part})")

    def __call__(self, text: str) -> str:
        for path, name in self._known:
            text = text.replace(path, name)
        return self._path.sub(r".../\1", text)


def _longest_first(item: tuple[str, str]) -> int:
    return -len(item[0])
