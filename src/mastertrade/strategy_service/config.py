"""Settings of the strategy service; names and defaults of the older system where it had them."""

from pydantic import Field

from mastertrade.shared.config import Settings


class StrategySettings(Settings):
    signal_valid_s: float = Field(30.0, gt=0, le=86_400, validation_alias="SIGNAL_VALID_SECONDS")
    """How long after it was raised a signal may still be acted on; never beyond the close of the next bar."""
