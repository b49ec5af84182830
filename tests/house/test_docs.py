"""What people are told exists, and what exists is told."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from mastertrade.cli.commands import app
from mastertrade.cli.reference import reference
from mastertrade.domain.orders import Fill
from mastertrade.exchanges.exchange import FillPage, FundingPage, StreamingVenue, SwapVenue, Venue, VenueOrder

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = ROOT / "docs" / "reference" / "cli.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


def commands() -> Iterator[str]:
    """``db init``, ``why``, … as the command line itself lists them."""

    def below(command: object, path: tuple[str, ...]) -> Iterator[str]:
        children = getattr(command, "commands", {})
        if path and not children:
            yield " ".join(path)
        for name, child in children.items():
            if not child.hidden:
                yield from below(child, (*path, name))

    yield from below(get_command(app), ())


def test_every_command_has_its_place_in_a_page_somebody_wrote() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page != COMMANDS)
    untold = [command for command in commands() if not re.search(rf"(mastertrade|\./mt) {command}\b", text)]
    assert not untold, "\n".join(untold)


def test_the_reference_of_the_commands_is_what_help_says() -> None:
    assert COMMANDS.read_text(encoding="utf-8") == reference(), (
        "write it anew: .venv/bin/python -m mastertrade.cli.reference > docs/reference/cli.md (PYTHONPATH=src)"
    )


def test_whoever_adds_a_venue_is_told_of_everything_it_answers() -> None:
    page = (ROOT / "docs" / "how-to" / "add-a-venue.md").read_text(encoding="utf-8")
    told = [field.name for one in (VenueOrder, Fill, FillPage, FundingPage) for field in fields(one)]
    asked = [name for one in (Venue, SwapVenue, StreamingVenue) for name in vars(one) if not name.startswith("_")]
    asked.remove("name")
    untold = [name for name in dict.fromkeys([*told, *asked]) if f"`{name}`" not in page]
    assert untold == []


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("command", ["./mt demo", "./mt test", "./mt check"])
def test_the_entrance_names_the_commands_a_newcomer_types(command: str) -> None:
    entrance = ROOT / "README.md"
    if not entrance.exists():
        entrance = ROOT / "CONTRIBUTING.md"
    assert command in entrance.read_text(encoding="utf-8")
