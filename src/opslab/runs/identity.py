"""What a result may depend on, digested."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

import opslab
from opslab.model.canonical import DIGEST_PREFIX, digest
from opslab.model.run import Git, Identity
from opslab.model.spec import BacktestSpec

_GIT_SECONDS = 5.0


def identity_of(spec: BacktestSpec, dataset_fingerprint: str, own_files: str | None = None) -> Identity:
    """own_files: digest of the files of a user's strategy."""
    return Identity(
        spec_digest=spec.digest(),
        dataset_fingerprint=dataset_fingerprint,
        code_digest=digest({"lab": code_digest(), "own": own_files}) if own_files else code_digest(),
        engine_version=version("nautilus-trader"),
        python_version=platform.python_version(),
    )


def input_digest(identity: Identity) -> str:
    return digest(identity.model_dump())


@cache
def code_digest() -> str:
    """Digest of this package's files and of the names and versions of everything installed beside it."""
    return digest({"package": folder_digest(Path(opslab.__file__).parent), "distributions": installed()})


def folder_digest(folder: Path) -> str:
    """Digest of all files below `folder` by relative path and content; what Python compiles from them left out."""
    hasher = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hasher.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return DIGEST_PREFIX + hasher.hexdigest()


def installed() -> list[str]:
    """`name==version` of every installed distribution, normalised and sorted."""
    texts = [dist.metadata for dist in distributions()]  # once: each look parses the file again
    found = {(text["Name"].lower().replace("_", "-"), text["Version"]) for text in texts if text["Name"]}
    return [f"{name}=={number}" for name, number in sorted(found)]


def git_state(folder: Path) -> Git | None:
    """Commit and dirty flag of the repository around `folder`; None outside one or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Git(commit=commit.strip(), dirty=bool(changes is None or changes.strip()))


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_GIT_SECONDS, check=False, stdin=subprocess.DEVNULL, text=True
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
