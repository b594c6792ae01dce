"""What a refusal looks like: one short printable line that names the culprit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adasise_bench.cli import main
from adasise_bench.utils.errors import BenchError

LONGEST = 1000


def check(error: BenchError, *named: str) -> None:
    """The message is one line of bounded length and names what it is about."""
    message = str(error)
    assert message.isprintable(), repr(message[:200])
    assert 0 < len(message) <= LONGEST
    for name in named:
        assert name in message, message


def refused(call: Callable[[], Any], *named: str, kind: type[BenchError] = BenchError) -> str:
    """The message with which ``call`` refuses its input."""
    with pytest.raises(kind) as caught:
        call()
    check(caught.value, *named)
    return str(caught.value)


def accepted(call: Callable[[], Any], *named: str) -> Any:
    """What ``call`` makes of an input that may be usable, or ``None`` where it is refused."""
    try:
        return call()
    except BenchError as error:
        check(error, *named)
        return None


def flipped(content: bytes, seed: int, bits: int = 3) -> bytes:
    """``content`` with some bits turned over."""
    damaged, dice = bytearray(content), random.Random(seed)
    for _ in range(bits):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def command(*arguments: object) -> Result:
    """Run the command line; it ends without a traceback, with one ``Error:`` line where it fails."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert len(errors) == (result.exit_code != 0), result.output
    return result


def fifo(path: Path) -> Path:
    """A pipe that nobody writes to: reading it never ends."""
    import os

    os.mkfifo(path)
    return path
