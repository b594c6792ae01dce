"""Errors that a user can cause, each with the exit code that the command line ends with."""

from __future__ import annotations

from adasise_bench.utils.messages import printable

_LONGEST = 1000


class BenchError(Exception):
    """A problem stated in one line that names the cause and the cure; ``exit_code`` ends the process.

    Whatever a hostile input puts into the message, it stays one printable line of at most 1000 letters.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        line = printable(message)
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST * 2 // 3]} ... {line[-_LONGEST // 4 :]}"
        super().__init__(line)


def text_of(error: BaseException) -> str:
    """What an exception says; those of a user's own classes may fail to say it."""
    try:
        return str(error)
    except Exception:
        return "its message cannot be read"


class CrashError(BenchError):
    """Something that nobody foresaw, with its traceback in a log; a report lets it be mended."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h

    def __init__(self, cause: str, log: object) -> None:
        self._arguments = cause, str(log)
        super().__init__(f"unexpected {cause}; please report it with the traceback, which is in {log}")

    def __reduce__(self) -> tuple[type[CrashError], tuple[str, str]]:
        """Workers send it to the driver."""
        return type(self), self._arguments


class ConfigError(BenchError):
    """Unusable configuration or command line."""

    exit_code = 2


class DataError(BenchError):
    """Missing or unusable pictures, annotations or records."""

    exit_code = 3


class WeightsError(BenchError):
    """Missing, altered or unusable model weights."""

    exit_code = 3


class DeviceError(BenchError):
    """The asked-for device is not there or cannot do the work."""

    exit_code = 4


class OutputError(BenchError):
    """The run folder cannot be written, is in use, or holds another run."""

    exit_code = 5
