"""A venue that says back what it was asked, keys and all: in no error, no representation and no trace of ours."""

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mastertrade.shared import logging as logs
from mastertrade.shared.logging import forms_of, hide, redact
from tests.contracts.answering_venue import Asked, Trouble, booth, ticket
from tests.contracts.swap_answers import PLACES
from tests.contracts.venue_answers import Wording

EACH = pytest.mark.parametrize("said", PLACES.values(), ids=PLACES)


@pytest.fixture
def _forgotten_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_known_secrets", set())


def parts_of(said: Wording) -> list[str]:
    given = said.credentials
    return [part for part in (given.api_key, given.secret, given.password) if len(part) >= logs.SHORTEST_SECRET]


def echoes(said: Wording) -> Iterator[Callable[[Asked], Trouble]]:
    """Of every part in every form: as a refusal that says more, as a code nobody knows, as a page, and cut off."""
    keys = " ".join(form for part in parts_of(said) for form in sorted(forms_of(part)))

    def told(asked: Asked) -> str:
        return f"{asked.method} {asked.path} {json.dumps(dict(asked.headers))} {json.dumps(dict(asked.given))} {keys}"

    yield lambda asked: Trouble(status=400, text=json.dumps({"code": -1, "msg": told(asked), "error": [told(asked)]}))
    yield lambda asked: Trouble(status=403, text=json.dumps({"retCode": 1, "retMsg": told(asked)}))
    yield lambda asked: Trouble(status=500, text=f"<html>{told(asked)}</html>")
    yield lambda asked: Trouble(status=200, text=told(asked))
    yield lambda asked: Trouble(status=200, text=json.dumps({"msg": told(asked)}), half=True)


@EACH
@pytest.mark.usefixtures("_forgotten_afterwards")
async def test_what_a_venue_says_of_our_keys_is_told_to_nobody(said: Wording) -> None:
    phrase = "the-marker-of-the-phrase" if said.credentials.password else ""
    said = replace(said, credentials=replace(said.credentials, api_key="the-marker-of/the+key==", password=phrase))
    for part in parts_of(said):
        hide(part)
    markers = [form for part in parts_of(said) for form in forms_of(part)]
    assert len(markers) > 4
    leaks = []
    async with booth(said.name, said.credentials, said.base, settle=said.settle) as on:
        for number, echo in enumerate(echoes(said)):
            on.venue.answers[said.place] = on.venue.answers[said.balance_path] = echo
            for ask in (lambda: on.client.place(ticket(said.symbol)), on.client.balances):
                try:
                    await ask()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
                    shown = [str(error), repr(error), redact("".join(traceback.format_exception(error)))]
                    leaks += [(number, text[:200]) for text in shown if any(one in text for one in markers)]
                else:
                    pytest.fail("an echo is no answer")
    assert leaks == []


def test_a_secret_is_hidden_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_known_secrets", set())
    secret = "-----BEGIN KEY-----\nMHcCAQEEIJ+ab/cdefghijklmnop==\n-----END KEY-----"
    hide(secret)
    for form in sorted(forms_of(secret)):
        assert redact(f"before {form} behind").startswith("before (hidden)")
    assert "MHcCAQEE" not in redact(f"only its middle: {secret.splitlines()[1]}")
