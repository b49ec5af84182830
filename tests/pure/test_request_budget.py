"""What a venue allows, and the pauses it asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mastertrade.exchanges.request_budget import Allowance, Purpose, pause_asked_for

NOW = 1_700_000_000.0
ALLOWANCES = some.builds(Allowance, some.floats(1, 1e5), some.floats(0.5, 300))


@given(ALLOWANCES, some.floats(0, 1e5))
def test_flow_and_burst_together_are_what_the_venue_allows_in_a_window(allowed: Allowance, cost: float) -> None:
    assert allowed.burst + allowed.per_s * allowed.window_s == pytest.approx(allowed.units)
    rooms = [allowed.room(purpose, cost) for purpose in (Purpose.DATA, Purpose.ACCOUNT, Purpose.ORDER)]
    assert rooms == sorted(rooms), "orders first, then accounts, then data"
    for room in rooms[1:]:
        assert room + cost <= max(allowed.burst, rooms[0] + cost) * (1 + 1e-9)
    assert rooms[0] == allowed.room(Purpose.DATA, 0), "dear data waits no longer than cheap data"


PAUSES = {
    "429 with seconds": (429, {"Retry-After": "7"}, "", 7),
    "418 in small letters": (418, {"retry-after": "120.5"}, "", 120.5),
    "429 with a date": (429, {"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, "", 30),
    "for ever": (418, {"Retry-After": "inf"}, "", 7 * 86_400),
    "429 without a word": (429, {}, "", 5),
    "429 with nonsense": (429, {"Retry-After": "soon"}, "", 5),
    "a date that is over": (429, {"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, "", 0),
    "closed for a while": (503, {"Retry-After": "3"}, "", 3),
    "broken": (503, {}, "", None),
    "the ban of Bybit": (403, {}, "403, Access too frequent.", 600),
    "forbidden": (403, {}, "not from your country", None),
    "well": (200, {"Retry-After": "3"}, "access too frequent", None),
}


@pytest.mark.parametrize(("status", "headers", "body", "pause_s"), PAUSES.values(), ids=PAUSES)
def test_a_venue_that_wants_a_pause_says_so_in_its_own_way(
    status: int, headers: dict[str, str], body: str, pause_s: float | None
) -> None:
    assert pause_asked_for(status, headers, body, NOW) == pause_s
