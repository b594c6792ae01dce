"""Numbers with their units are short, grow with what they tell, and are in the right number."""

from __future__ import annotations

import re

import pytest

from adasise_bench.utils.quantities import about, duration, file_size, short_duration, three_digits

DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2.0 h"),
        (2 * DAY - 1, "48.0 h"),
        (2 * DAY, "2.0 days"),
        (9.94 * DAY, "9.9 days"),
        (9.96 * DAY, "10 days"),
        (730 * DAY, "730 days"),
        (731 * DAY, "2.0 years (731 days)"),
        (1610.6 * DAY, "4.4 years (1,611 days)"),
        (7434 * DAY, "20 years (7,434 days)"),
        (10**7 * DAY, "27,379 years (10,000,000 days)"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000423, "0.0423 ms"),
        (0.0015, "1.5 ms"),
        (0.33, "330 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (99.96, "100 s"),
        (119.6, "2 min"),
    ],
)
def test_short_durations(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 forward passes"),
        (1, "1 forward pass"),
        (999_499, "999,499 forward passes"),
        (999_500, "1 million forward passes"),
        (373_094_400, "373 million forward passes"),
        (999_499_999, "999 million forward passes"),
        (999_500_000, "1 billion forward passes"),
        (1_510_000_000, "1.51 billion forward passes"),
        (2 * 10**12, "2 trillion forward passes"),
        (10**16, "10,000 trillion forward passes"),
    ],
)
def test_large_numbers(count: int, text: str) -> None:
    assert about(count, "forward pass") == text
    assert about(1, "gradient") == "1 gradient"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (5 * 10**12, "5 TB"),
        (3 * 10**15, "3 PB"),
        (4 * 10**18, "4 EB"),
    ],
)
def test_file_sizes(count: int, text: str) -> None:
    assert file_size(count) == text


def test_no_quantity_is_told_with_an_exponent() -> None:
    for exponent in range(19):
        for first in (1, 3, 9.99, 9.995):
            count = int(first * 10**exponent)
            told = (about(count, "map"), file_size(count), duration(count), short_duration(count))
            assert not any(re.search(r"\de[+-]?\d", text) for text in told), told
            if count > 1:
                assert about(count, "map").endswith("maps")


@pytest.mark.parametrize("exponent", range(-9, 16))
def test_three_digits_are_those_of_the_number(exponent: int) -> None:
    for first in (1.0, 1.004, 2.5, 9.994, 9.996):
        number = first * 10.0**exponent
        text = three_digits(number)
        assert re.fullmatch(r"[0-9,]+(\.[0-9]*[1-9])?", text)
        assert float(text.replace(",", "")) == pytest.approx(number, rel=0.005)
        if number < 99:
            assert float(text) == pytest.approx(float(f"{number:.3g}"), rel=1e-9)
