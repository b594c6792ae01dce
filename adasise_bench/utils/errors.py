"""Errors that a user can cause, each with the exit code of the command line."""

from __future__ import annotations

from adasise_bench.utils.messages import printable

_LONGEST = 1000


class BenchError(Exception):
    """A problem stated in one line that names the cause and the cure; ``exit_code`` ends the process.

    The message is always one printable line of at most 1000 letters, also if it quotes hostile input.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        line = printable(message)
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST * 2 // 3]} ... {line[-_LONGEST // 4 :]}"
        super().__init__(line)


def text_of(error: BaseException) -> str:
    """The message of an exception; exceptions of a user's own classes may fail to give it."""
    try:
        return str(error)
    except Exception:
        return "its message cannot be read"


class CrashError(BenchError):
    """An unexpected error, with its traceback in a log, which the user is asked to report."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h

    def __init__(self, cause: str, log: object) -> None:
        self._arguments = cause, str(log)
        super().__init__(f"unexpected {cause}; please report it with the traceback, which is in {log}")

    def __reduce__(self) -> tuple[type[CrashError], tuple[str, str]]:
        """Workers send it to the driver."""
        return type(self), self._arguments


class ConfigError(BenchError):
    """The configuration or the command line cannot be used."""

    exit_code = 2


class DataError(BenchError):
    """Pictures, annotations or records are missing or cannot be used."""

    exit_code = 3


class WeightsError(BenchError):
    """The weights of a network are missing, were altered, or cannot be used."""

    exit_code = 3


class DeviceError(BenchError):
    """The device does not exist or cannot do the work."""

    exit_code = 4


class OutputError(BenchError):
    """The run folder cannot be written, is in use, or holds another run."""

    exit_code = 5
