"""Errors that a user can cause, each with the exit code that the command line ends with."""


class BenchError(Exception):
    """A problem stated in one line that names the cause and the cure; ``exit_code`` ends the process."""

    exit_code = 1


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
