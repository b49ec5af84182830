"""Numbers and names that people write: exact, visible and within what the books keep, or refused in one wording."""

from decimal import Decimal

from mastertrade.shared.errors import BadData, UsageError
from mastertrade.shared.exact_numbers import exact_decimal, shortened


def read_number(what: str, text: str) -> Decimal:
    """UsageError names what the number is for."""
    try:
        return exact_decimal(text)
    except BadData as error:
        raise UsageError(f"{what} {error}") from None


def read_positive(what: str, text: str) -> Decimal:
    """As ``read_number``, and above 0."""
    found = read_number(what, text)
    if found <= 0:
        raise UsageError(f"{what} {shortened(Decimal(text))} is not above 0")
    return found


def read_name(what: str, text: str) -> str:
    """A name without line breaks, and without signs that nobody sees: such a name would look like another's."""
    if not text.isprintable():
        raise UsageError(f"{what} {text!a} holds signs that cannot be seen")
    return text
