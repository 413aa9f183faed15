"""Digests of everything a result may depend on."""

import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

import opslab
from opslab.model.primitives.canonical import digest
from opslab.model.run.code_inputs import CodeParts
from opslab.model.run.metadata import Git, Identity
from opslab.model.spec.run_spec import RunSpec
from opslab.store.files import file_digest

_GIT_SECONDS = 5.0


def identity_of(spec: RunSpec, dataset_fingerprint: str, code: CodeParts) -> Identity:
    return Identity(
        spec_digest=spec.digest(),
        dataset_fingerprint=dataset_fingerprint,
        code_digest=code.digest(),
        engine_version=version("nautilus-trader"),
        python_version=platform.python_version(),
    )


def input_digest(identity: Identity) -> str:
    return digest(identity.model_dump())


def code_parts(strategy_files: Mapping[str, Path]) -> CodeParts:
    """Digests of this package's files and of the files of a user strategy, by name; every installed distribution."""
    return CodeParts(
        package=package_files(Path(opslab.__file__).parent),
        distributions=installed(),
        strategy={name: file_digest(path) for name, path in sorted(strategy_files.items())},
    )


def package_files(folder: Path) -> dict[str, str]:
    """Digests of all files below `folder` by relative path, without compiled Python files."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in sorted(paths)}


@cache
def installed() -> tuple[str, ...]:
    """`name==version` of every installed distribution, normalised and sorted."""
    headers = [distribution.metadata for distribution in distributions()]  # once: each access parses the file again
    pairs = {(header["Name"].lower().replace("_", "-"), header["Version"]) for header in headers if header["Name"]}
    return tuple(f"{name}=={number}" for name, number in sorted(pairs))


def git_state(folder: Path) -> Git | None:
    """Commit and dirty flag of the repository around `folder`; None outside one or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Git(commit=commit.strip(), dirty=bool(changes is None or changes.strip()))


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command; None when it failed or took too long."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        completed = subprocess.run(
            command, capture_output=True, timeout=_GIT_SECONDS, check=False, stdin=subprocess.DEVNULL, text=True
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return completed.stdout if completed.returncode == 0 else None
