"""Exact numbers and their way into PostgreSQL's binary form."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_values import decode_numeric, encode_numeric
from mastertrade.shared.serialization import exact_decimal

within_bounds = st.decimals(
    min_value=Decimal("-999999999999999999999999"), max_value=Decimal("999999999999999999999999"), places=18
)


@given(within_bounds)
def test_every_number_within_the_bounds_survives_the_binary_form_exactly(number: Decimal) -> None:
    assert decode_numeric(encode_numeric(number)) == number


@given(st.integers(-(10**23), 10**23), st.integers(0, 18))
def test_the_scale_survives_too(unscaled: int, scale: int) -> None:
    number = Decimal(f"{unscaled}E-{scale}")
    assert str(decode_numeric(encode_numeric(number))) == str(number if unscaled else Decimal(f"0E-{scale}"))


@pytest.mark.parametrize(
    "hostile",
    [
        Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1E+131072"),
        Decimal("1E+3000000"), Decimal("-1E+24"), Decimal("1E-19"), Decimal("1E-3000000"), 10**24, 10**5000,
        float("nan"), float("inf"), 1e300, True, None, [], "NaN", "1E+131072", "1_000", "１２", "0x10", " 1",
        "1" * 65, "",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_not_finite_or_beyond_the_bounds_is_refused_at_once(hostile: object) -> None:
    begin = time.perf_counter()
    with pytest.raises(BadData):
        exact_decimal(hostile)  # type: ignore[arg-type]
    assert time.perf_counter() - begin < 0.05


def test_surplus_zeros_are_no_surplus_decimals() -> None:
    assert exact_decimal(Decimal("1.50000000000000000000000")) == Decimal("1.5")
    assert exact_decimal(Decimal("0E+1000000")) == 0
    assert exact_decimal(Decimal("0E-1000000")) == 0


def test_a_float_counts_as_the_text_a_reader_sees() -> None:
    assert exact_decimal(0.1) == Decimal("0.1")


def test_a_refusal_names_the_number_and_the_limit() -> None:
    with pytest.raises(BadData, match=r"0\.1234567890123456789 has 19 decimals: the limit is 18"):
        exact_decimal(Decimal("0.1234567890123456789"))


def test_no_number_costs_more_than_ten_milliseconds_to_refuse() -> None:
    """Of the process's own time: a busy machine makes it no longer."""
    for hostile in ("1E+3000000", "1" * 1_000_000, "9" * 64, "0." + "1" * 62, "1e99", "_" * 100_000, "\uff11" * 64):
        spent = []
        for _ in range(5):
            begin = time.process_time()
            with pytest.raises(BadData):
                exact_decimal(hostile)
            spent.append(time.process_time() - begin)
        assert min(spent) < 0.010, hostile[:20]
