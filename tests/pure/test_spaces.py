"""What to vary and what to set, as people type it."""

import pytest

from mastertrade.backtest.samplers import Span
from mastertrade.research.spaces import from_settings, parameters_of, space_of, to_settings
from mastertrade.shared.errors import UsageError


def test_values_and_spans_are_read_as_they_are_meant() -> None:
    found = space_of(["fast=5:50:5", "slow=20,50,100", "level=0.5:2.5", "size=log:1:100", "mode=a,b"])
    assert found == {
        "fast": Span(low=5, high=50, step=5),
        "slow": [20, 50, 100],
        "level": Span(low=0.5, high=2.5),
        "size": Span(low=1, high=100, is_log=True),
        "mode": ["a", "b"],
    }
    assert from_settings(to_settings(found)) == found


def test_parameters_keep_their_kind() -> None:
    found = parameters_of(["a=1", "b=1.0", "c=true", "d=ema", "e=1e-3"])
    assert found == {"a": 1, "b": 1.0, "c": True, "d": "ema", "e": 0.001}
    assert [type(value) for value in found.values()] == [int, float, bool, str, float]


@pytest.mark.parametrize(
    "text", ["fast", "fast=", "=5", "fast=1:2:3:4", "fast=a:b", "fast=log:5", "fast=log:1:2:3", "fast=5:1"]
)
def test_what_is_no_choice_of_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        space_of([text])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="fast was given twice"):
        space_of(["fast=1", "fast=2"])
    with pytest.raises(UsageError, match="fast was given twice"):
        parameters_of(["fast=1", "fast=2"])
