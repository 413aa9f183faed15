"""Full disks of every size: `tc` reports one clear error, and with free space the run can be settled."""

import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from tests.breaking.aftermath import claim_can_run, claim_no_leftovers, claim_whole, settle
from tests.breaking.chain import journal_bytes
from tests.breaking.context import (
    ORDERS_SAMPLE,
    ORDERS_TINY,
    RUN,
    ExperimentContext,
    RunKind,
    RunProfile,
    undisturbed_profile,
)
from tests.breaking.deaths import evenly_spread
from tests.breaking.trial import Attempt, Trial
from tests.drivers.processes import TC
from tests.drivers.tc import Tc

FULL = 120
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LARGE_SIZE = "1g"
_END_SECONDS = 300.0
_SMALL_BYTES = 16_384
"""Below this size, limits cut off every record; half of the limits are below it."""
_EXTRA_PAGES = 40
"""Space of temporary files in addition to the final files."""
_CAUSE = re.compile(r"No space left on device|File too large|Disk quota exceeded")
_EXITS = (1, 5)
CANNOT_MOUNT = "small disks: no right to mount a tmpfs"


def skipped_reasons(_context: ExperimentContext) -> list[str]:
    return [] if can_mount() else [CANNOT_MOUNT]


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    tiny = undisturbed_profile(context, ORDERS_TINY)
    big_kind = context.orders if context.scale == "small" else ORDERS_SAMPLE
    big = undisturbed_profile(context, big_kind)
    if can_mount():
        pages = range(1, tiny.size_bytes // _PAGE_BYTES + _EXTRA_PAGES)
        for size in evenly_spread(pages, context.count):
            yield _disk(context, ORDERS_TINY, tiny, size)
        pages = range(1, int(big.size_bytes * 1.1) // _PAGE_BYTES + _EXTRA_PAGES)
        for size in evenly_spread(pages, context.trial_count(FULL) // 2):
            yield _disk(context, big_kind, big, size)
    count = context.trial_count(FULL)
    limits = {
        *evenly_spread(range(_SMALL_BYTES), count - count // 2),
        *evenly_spread(range(big.largest_bytes + 2), count // 2),
    }
    for size in sorted(limits):
        attempt = partial(_limited, context=context, kind=big_kind, profile=big, size_bytes=size)
        yield Attempt(f"disk-full-limit-{size}", attempt)


@cache
def can_mount() -> bool:
    if shutil.which("mount") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def _disk(context: ExperimentContext, kind: RunKind, profile: RunProfile, pages: int) -> Attempt:
    attempt = partial(_small_disk, context=context, kind=kind, profile=profile, pages=pages)
    return Attempt(f"disk-full-{kind.title}-{pages}-pages", attempt)


@dataclass(frozen=True, slots=True)
class LimitedHome:
    """A home with limited space. `limit` applies in the `tc` process; `free_space` removes the limit."""

    tc: Tc
    spec: str
    limit: Callable[[], None] | None
    free_space: Callable[[], None]


def _limited(trial: Trial, context: ExperimentContext, kind: RunKind, profile: RunProfile, size_bytes: int) -> None:
    """No file may exceed a size."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    limited = LimitedHome(context.home(trial), kind.spec(trial.folder), limit, lambda: None)
    _run_without_space(trial, limited, profile)


def _small_disk(trial: Trial, context: ExperimentContext, kind: RunKind, profile: RunProfile, pages: int) -> None:
    """The home is a file system of `pages` pages, visible only to this worker and its children."""
    unshare_mounts(os.getpid())
    home = trial.folder / "home"
    home.mkdir()
    mount("-t", "tmpfs", "-o", f"size={pages * _PAGE_BYTES}", "tmpfs", str(home))
    try:
        spec = kind.spec(trial.folder)
        enlarge = partial(mount, "-o", f"remount,size={_LARGE_SIZE}", str(home))
        _run_without_space(trial, LimitedHome(context.home_in(home), spec, None, enlarge), profile)
        if trial.violations:
            shutil.copytree(home, trial.folder / "kept", symlinks=True)
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@cache
def unshare_mounts(_worker: int) -> None:
    """Give the worker its own mount namespace, once per worker. Its mounts end with it, however it ends."""
    os.unshare(os.CLONE_NEWNS)
    mount("--make-rprivate", "/")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _run_without_space(trial: Trial, limited: LimitedHome, profile: RunProfile) -> None:
    tc = limited.tc
    arguments = ("run", "backtest", "--spec", limited.spec, "--run-id", RUN, "--home", str(tc.home))
    code, err = _run_to_its_end(tc, arguments, limited.limit)
    (trial.folder / "tc.err").write_text(err)
    trial.observe("exit", code)
    _claim_error(trial, code, err)
    before = journal_bytes(tc.run_folder(RUN))
    limited.free_space()
    claim_no_leftovers(trial, tc)
    if not tc.run_folder(RUN).exists():
        trial.observe("phase", "no run")
        trial.claim(code == 5, f"exit {code} without a run")
        claim_can_run(trial, tc, RUN, limited.spec, profile.expected)
    elif code == 0:
        trial.observe("phase", "completed")
        metadata = claim_whole(trial, tc, RUN, profile.expected)
        trial.claim(metadata["status"] == "completed", f"exit 0 and {metadata['status']}")
    elif settle(trial, tc, RUN, before, profile.expected) == "initialized":
        claim_can_run(trial, tc, RUN, limited.spec, profile.expected)


def _run_to_its_end(tc: Tc, arguments: Sequence[str], limit: Callable[[], None] | None) -> tuple[int, str]:
    """Exit code and stderr, read through a pipe: a limit on file sizes does not apply to it."""
    completed = subprocess.run(
        [*TC, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env=tc.environment(),
        preexec_fn=limit,
        timeout=_END_SECONDS,
        check=False,
    )
    return completed.returncode, completed.stderr.decode(errors="replace")


def _claim_error(trial: Trial, code: int, err: str) -> None:
    """One error with its cause, and no traceback."""
    trial.claim(code == 0 or code in _EXITS, f"exit {code}: {err[-500:]}")
    trial.claim("Traceback" not in err, f"a traceback: {err[-500:]}")
    errors = [line for line in err.splitlines() if line.startswith("tc: error: ")]
    if code == 0:
        trial.claim(not errors, f"exit 0 with an error: {errors}")
    elif trial.claim(len(errors) == 1, f"{len(errors)} errors: {err[-500:]}"):
        trial.observe("error", "with its cause" if _CAUSE.search(errors[0]) else "without a cause")
        trial.claim(bool(_CAUSE.search(errors[0])), f"an error without its cause: {errors[0]}")
