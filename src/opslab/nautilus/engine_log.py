"""The engine's logger, on standard output: one log of the engine and of the strategy, counted and stored by control."""

from contextlib import suppress

from nautilus_trader.common import LoggerConfig, LogLevel, logging_sync_to_disk

from opslab.model.messages.engine_messages import LogLevelName

_LEVELS: dict[LogLevelName, LogLevel] = {
    "off": LogLevel.WARNING,
    "error": LogLevel.WARNING,
    "warning": LogLevel.WARNING,
    "info": LogLevel.INFO,
    "debug": LogLevel.DEBUG,
}
"""Warnings are always written: control counts them, also when they are not stored."""


def logger_config(level: LogLevelName) -> LoggerConfig:
    """level: the lowest that is stored."""
    return LoggerConfig(stdout_level=_LEVELS[level], is_colored=False, print_config=False)


def drain_log() -> None:
    """Wait until all lines logged so far are written; call before a process ends without its interpreter.

    The engine writes its log in a thread of its own. `logger_flush` does not wait for it; this call does, also for
    standard output (measured).
    """
    with suppress(RuntimeError):  # the thread has ended, after its last line
        logging_sync_to_disk()
