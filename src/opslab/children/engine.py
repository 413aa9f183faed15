"""The engine child: one process for one run. Started by control as `python -P -m opslab.children.engine FD`.

Reads its plan from standard input, which stays open as long as control lives: end of file means that control has
ended. After the plan of a paper run come commands. Sends messages to descriptor FD. SIGTERM and SIGINT set a flag; the
run ends from a callback.
"""

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from opslab.children.halt import Halt, backtest_halt, live_halt, watch_switch
from opslab.children.pipe import MessagePipe
from opslab.children.redactor import path_redactor
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import (
    EnginePlan,
    LivePlan,
    ScenarioPlan,
    UserStrategyPlan,
    parse_plan,
)
from opslab.model.pipe.messages import (
    EngineResult,
    HaltCommand,
    Progress,
    Stop,
    TakeSnapshot,
    decode_command,
)
from opslab.model.primitives.redact import PathRedactor
from opslab.model.run.metadata import EngineCost, Failure
from opslab.nautilus import backtest
from opslab.nautilus.engine_log import drain_log
from opslab.nautilus.live.monitor import ControlCommands
from opslab.nautilus.live.node import LiveRun, apply_on_stop
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.venue_rest_client import VenueRestClient
from opslab.nautilus.outcome import EngineOutcome
from opslab.nautilus.strategy.external_orders import ExternalOrders
from opslab.nautilus.strategy.guarded import Guarded, StrategyRecorder, bind
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder
from opslab.nautilus.strategy.scenarios import SCENARIOS, Scenario, make_scenario
from opslab.nautilus.strategy.user_strategy import UnusableStrategy, load
from opslab.store.files import link_folder
from opslab.system import SystemClock, memory_bytes, peak_memory_bytes

_PROGRESS_SECONDS = 0.25
_ORPHAN_SECONDS = 10.0
"""Lifetime of the engine of a backtest without control."""
_LIVE_ORPHAN_SECONDS = 20.0
"""Lifetime of the engine of a paper run without control."""
_ORPHAN_FLATTEN_SECONDS = 12.0
"""Time for an engine without control to apply `on_stop` to its account; then that is done over REST."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(scenarios: dict[tuple[str, str], type[Scenario]], descriptor: int, *, polls_switch: bool = False) -> int:
    """Run the plan on standard input. Exit code 0 whenever a result or a failure was sent.

    polls_switch: poll the kill switch, without notifications of the kernel.
    """
    os.set_inheritable(descriptor, False)  # a process that a strategy starts must not hold it open
    faulthandler.register(signal.SIGUSR1)  # prints the stacks of a hanging engine, before control kills it
    standard_input = _take_standard_input()
    plan = parse_plan(standard_input.readline())
    if isinstance(plan, LivePlan):  # before a second thread starts, so that no thread receives one
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    messages = MessagePipe(descriptor)
    redact = path_redactor(plan.strategy.folder if isinstance(plan.strategy, UserStrategyPlan) else None)
    ended = threading.Event()
    if isinstance(plan, LivePlan):
        return _live(plan, scenarios, messages, standard_input, redact, ended, polls_switch)
    instrument_id = instrument_of(plan.symbol).instrument_id
    recorder = StrategyRecorder(messages=messages, instrument_id=instrument_id, bar_type=plan.bar_type, redact=redact)
    threading.excepthook = _thread_exception_hook(recorder)
    for number in _SIGNALS:
        signal.signal(number, _stop_on_signal(recorder))
    threading.Thread(target=_exit_after_control, args=(recorder, standard_input), name="control", daemon=True).start()
    threading.Thread(target=_send_progress, args=(recorder, ended), name="progress", daemon=True).start()
    watch_switch(plan, backtest_halt(recorder), polls=polls_switch)
    return _run_and_report(recorder, messages, ended, lambda: _backtest(plan, scenarios, recorder))


def _backtest(
    plan: EnginePlan, scenarios: dict[tuple[str, str], type[Scenario]], recorder: StrategyRecorder
) -> EngineOutcome:
    strategy = _strategy(plan, scenarios, recorder)
    link_folder(backtest.bars_link(plan), Path(plan.bars_path))
    return backtest.run(plan, strategy, recorder)


def _live(
    plan: LivePlan,
    scenarios: dict[tuple[str, str], type[Scenario]],
    messages: MessagePipe,
    standard_input: BinaryIO,
    redact: PathRedactor,
    ended: threading.Event,
    polls_switch: bool,
) -> int:
    recorder = LiveStrategyRecorder(
        messages=messages,
        instrument_id=instrument_of(plan.symbol).instrument_id,
        redact=redact,
        clock=SystemClock(),
        speed=plan.speed,
        bar_type=plan.bar_type,
        skips_stale_bars=isinstance(plan.strategy, ScenarioPlan),
        external_orders=ExternalOrders(plan.earlier_order_ids),
    )
    commands = ControlCommands(backlogged=lambda: messages.dropped > 0)
    rest_flattener = RestFlattener(
        VenueRestClient(plan.endpoints, instrument_of(plan.symbol).symbol, recorder.clock), recorder.clock
    )
    halt = live_halt(recorder, rest_flattener)
    threading.excepthook = _thread_exception_hook(recorder)
    threading.Thread(target=_wait_for_signals, args=(recorder,), name="signals", daemon=True).start()
    threading.Thread(
        target=_read_commands, args=(plan, recorder, commands, standard_input, halt), name="control", daemon=True
    ).start()
    watch_switch(plan, halt, polls=polls_switch)
    threading.Thread(target=_send_progress, args=(recorder, ended), name="progress", daemon=True).start()

    def give_up(outcome: EngineOutcome) -> None:
        os._exit(_run_and_report(recorder, messages, ended, lambda: outcome))

    def run() -> EngineOutcome:
        strategy = _strategy(plan, scenarios, recorder)
        return LiveRun(plan, recorder, commands, rest_flattener, memory_bytes).run(strategy, give_up)

    return _run_and_report(recorder, messages, ended, run)


def _run_and_report(
    recorder: StrategyRecorder, messages: MessagePipe, ended: threading.Event, run: Callable[[], EngineOutcome]
) -> int:
    """Run, and send the outcome. Returns when all messages are written."""
    try:
        outcome = run()
    except UnusableStrategy as unusable:  # it was inspected before: its files have changed, or it depends on chance
        failure = Failure(kind="strategy", message=recorder.redact(str(unusable)))
        messages.send(failure)
    except Exception as error:  # noqa: BLE001  (any error that prevents the engine from running)
        text = "".join(traceback.format_exception(error))
        message = recorder.redact(f"{type(error).__name__}: {error}")
        failure = Failure(kind="engine", message=message, detail=recorder.redact(text))
        messages.send(failure)
    else:
        cost = EngineCost(
            elapsed_seconds=round(outcome.seconds, 6),
            bars_per_second=round(outcome.bars / outcome.seconds, 1) if outcome.seconds else 0.0,
            peak_memory_bytes=peak_memory_bytes(),
        )
        if recorder.failure:
            messages.send(recorder.failure)
        result = EngineResult(
            bars=outcome.bars,
            other_bars=dict(recorder.subscriptions.other_bars),
            subscriptions=recorder.subscriptions.counts(outcome.bars),
            actions=outcome.actions,
            gated=outcome.gated,
            cost=cost,
            dropped=messages.dropped,
        )
        messages.send(result)
    ended.set()
    messages.close()
    sys.stdout.flush()
    sys.stderr.flush()
    drain_log()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(0)  # a strategy's thread is not waited for
    return 0


def _take_standard_input() -> BinaryIO:
    """A private copy of standard input, which is then empty: a strategy cannot read control's commands."""
    stream = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return stream


def _strategy(
    plan: EnginePlan | LivePlan, scenarios: dict[tuple[str, str], type[Scenario]], recorder: StrategyRecorder
) -> Guarded:
    strategy_plan = plan.strategy
    if isinstance(strategy_plan, UserStrategyPlan):
        strategy = load(strategy_plan).strategy
        bind(strategy, recorder)
        return strategy
    return make_scenario(scenarios[(strategy_plan.name, strategy_plan.version)], instrument_of(plan.symbol), recorder)


def _thread_exception_hook(recorder: StrategyRecorder) -> Callable[[threading.ExceptHookArgs], None]:
    def record(raised: threading.ExceptHookArgs) -> None:
        if raised.exc_value is not None:
            recorder.record_exception(f"thread {raised.thread.name if raised.thread else 'unknown'}", raised.exc_value)

    return record


def _stop_on_signal(recorder: StrategyRecorder) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        recorder.stop_requested = True

    return stop


def _wait_for_signals(recorder: LiveStrategyRecorder) -> None:
    """Receive all signals: the engine would stop its node at once on a signal, with the account as it is."""
    while True:
        recorder.request_stop("SIGINT" if signal.sigwait(_SIGNALS) == signal.SIGINT else "SIGTERM")


def _read_commands(
    plan: LivePlan, recorder: LiveStrategyRecorder, commands: ControlCommands, standard_input: BinaryIO, halt: Halt
) -> None:
    """Read the commands of control until it has ended. The node must not be touched from this thread."""
    for line in standard_input:
        with suppress(ValueError):  # the last line of a control that died may be incomplete
            match decode_command(line):
                case TakeSnapshot(request_number=number):
                    commands.snapshots.append(number)
                case HaltCommand(switch=switch):
                    halt(switch)
                case Stop(reason=reason):
                    recorder.request_stop(reason)
    recorder.request_stop("control_lost")
    never_set = threading.Event()
    never_set.wait(_ORPHAN_FLATTEN_SECONDS)
    if not recorder.is_flattened_reported and not recorder.halted:  # a handler blocks the engine's thread
        symbol = instrument_of(plan.symbol).symbol
        apply_on_stop(plan, VenueRestClient(plan.endpoints, symbol, recorder.clock))
    never_set.wait(_LIVE_ORPHAN_SECONDS - _ORPHAN_FLATTEN_SECONDS)
    os._exit(3)


def _exit_after_control(recorder: StrategyRecorder, standard_input: BinaryIO) -> None:
    """Stop after control has ended: it holds the other end of standard input."""
    while os.read(standard_input.fileno(), 4096):
        pass
    recorder.stop_requested = True
    threading.Event().wait(_ORPHAN_SECONDS)
    os._exit(3)


def _send_progress(recorder: StrategyRecorder, ended: threading.Event) -> None:
    while not ended.wait(_PROGRESS_SECONDS):
        recorder.messages.offer(Progress(bars=recorder.bars, actions=recorder.actions))


if __name__ == "__main__":
    sys.exit(main(SCENARIOS, int(sys.argv[1])))
