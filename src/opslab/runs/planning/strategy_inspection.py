"""Inspect a user strategy before a run: load it in a child with a time limit, report its mistakes like a spec's."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from opslab.errors import Environment
from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.model.primitives.exact_json import exact_json
from opslab.model.primitives.redact import PathRedactor
from opslab.model.spec.run_spec import UserStrategyRef
from opslab.ports import Clock
from opslab.settings import child_environment
from opslab.specs.load import LoadedSpec

INSPECTION_COMMAND = (sys.executable, "-P", "-m", "opslab.children.inspection")
INSPECTION_SECONDS = 30.0
"""Time limit for importing the user's modules and creating the strategy."""
HINT = "paths are relative to the spec's folder; docs/own-strategies.md says how a strategy is found and made"
_OUTPUT_BYTES = 16 << 10
_PANIC = re.compile(r"panicked at [^\n]*\n?([^\n]*)")


@dataclass(frozen=True, slots=True)
class Inspected:
    """Result of inspecting a loadable strategy."""

    keys: tuple[str, ...]
    """The parameters of its config."""
    locations: tuple[Path, ...]
    """Files and folders of its modules."""


def user_strategy_plan(strategy: UserStrategyRef, folder: Path) -> UserStrategyPlan:
    return UserStrategyPlan(
        folder=str(folder),
        path=strategy.path,
        config_path=strategy.config_path,
        config=exact_json(strategy.config),
    )


def inspect_strategy(
    loaded: LoadedSpec,
    folder: Path,
    clock: Clock,
    *,
    command: Sequence[str] = INSPECTION_COMMAND,
    seconds: float = INSPECTION_SECONDS,
) -> Inspected | None:
    """Load the spec's strategy as a run would; None for a built-in scenario. Raises InvalidSpec with all mistakes."""
    strategy = loaded.spec.strategy
    if not isinstance(strategy, UserStrategyRef):
        return None
    with _Inspection(user_strategy_plan(strategy, folder), clock, command) as inspection:
        in_time = inspection.wait(seconds)
    answer = inspection.answer()
    if answer is None:
        timeout = f"is not loaded within {seconds:.0f} s: does its import wait or loop?"
        problem = inspection.describe_end(_redactor(folder)) if in_time else timeout
        raise loaded.invalid_spec([loaded.mistake(("strategy", "path"), f"{strategy.path} {problem}")], HINT)
    if "mistakes" in answer:
        mistakes = [loaded.mistake(tuple(mistake["field"]), mistake["message"]) for mistake in answer["mistakes"]]
        raise loaded.invalid_spec(mistakes, HINT)
    return Inspected(tuple(answer["keys"]), tuple(Path(location) for location in answer["locations"]))


class _Inspection:
    """One inspection child: it ends with the `with` block; the tail of its output is stored."""

    def __init__(self, plan: UserStrategyPlan, clock: Clock, command: Sequence[str]) -> None:
        self._plan = plan
        self._clock = clock
        self._command = command
        self._received = bytearray()
        self._output = bytearray()

    def __enter__(self) -> Self:
        self._receiving, sending = os.pipe()
        try:
            self._child = subprocess.Popen(
                [*self._command, str(sending)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                pass_fds=(sending,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._receiving)
            raise Environment(f"cannot start the inspection process: {error.strerror}") from None
        finally:
            os.close(sending)
        assert self._child.stdin
        with suppress(BrokenPipeError):
            self._child.stdin.write(self._plan.model_dump_json().encode() + b"\n")
            self._child.stdin.close()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Kill its whole session, including processes that a module started."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        os.close(self._receiving)
        if self._child.stdout:
            self._child.stdout.close()

    def wait(self, seconds: float) -> bool:
        """Wait for its answer or its end; False on timeout."""
        assert self._child.stdout
        output, process = self._child.stdout.fileno(), os.pidfd_open(self._child.pid)
        deadline = self._clock.monotonic_s() + seconds
        poll = select.poll()
        for descriptor in (self._receiving, output, process):
            poll.register(descriptor, select.POLLIN)
        try:
            while (remaining_s := deadline - self._clock.monotonic_s()) > 0:
                ready = {descriptor for descriptor, _ in poll.poll(remaining_s * 1000)}
                if output in ready and not self._store_output(output):
                    poll.unregister(output)
                if self._receiving in ready:
                    data = os.read(self._receiving, 1 << 16)
                    self._received += data
                    if not data:
                        poll.unregister(self._receiving)
                if self._received.endswith(b"\n"):
                    return True
                if ready == {process}:  # ended, and no data to read
                    return True
            return False
        finally:
            os.close(process)

    def _store_output(self, descriptor: int) -> bool:
        """False at end of file."""
        data = os.read(descriptor, 1 << 16)
        self._output += data
        del self._output[:-_OUTPUT_BYTES]
        return bool(data)

    def answer(self) -> Any:
        """The decoded line of `children.inspection`: `mistakes`, or `keys` and `locations`; None without one."""
        return json.loads(self._received) if self._received.endswith(b"\n") else None

    def describe_end(self, redact: Callable[[str], str]) -> str:
        """The end of a child that sent no answer, as the predicate of a sentence."""
        code = self._child.returncode
        text = self._output.decode(errors="replace")
        panic = _PANIC.search(text)
        if panic:
            return f"makes the engine panic while it is loaded: {redact(panic[1].strip())[:300]}"
        if code < 0:
            return f"crashes the process while it is loaded, with {signal.Signals(-code).name}"
        return f"ends the process while it is loaded, with exit code {code}"


def _redactor(folder: Path) -> PathRedactor:
    known = {f"{folder}/": "", sys.prefix: "<env>", sys.base_prefix: "<python>"}
    return PathRedactor(known, (path.name for path in Path("/").iterdir()))
