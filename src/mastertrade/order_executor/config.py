"""Settings of the order executor; names and defaults of the older system where it had them."""

from pydantic import Field

from mastertrade.shared.config import Settings


class ExecutorSettings(Settings):
    order_timeout_minutes: int = Field(30, ge=1, le=10_080, validation_alias="ORDER_TIMEOUT_MINUTES")
    """An order open for longer is cancelled."""
    order_monitor_interval_s: float = Field(5.0, ge=0.1, le=300, validation_alias="ORDER_MONITOR_INTERVAL")
    """Seconds between two looks at the venue."""
    send_window_s: float = Field(5.0, ge=0.5, le=60, validation_alias="ORDER_SEND_WINDOW_SECONDS")
    """How long after signing a venue may still accept an order."""
    venue_timeout_s: float = Field(10.0, ge=0.1, le=120, validation_alias="VENUE_TIMEOUT_SECONDS")
    """How long we wait for a venue's answer before the outcome counts as unknown."""
    venue_processing_limit_s: float = Field(10.0, ge=0, le=600, validation_alias="VENUE_PROCESSING_LIMIT_SECONDS")
    """How long a venue may still work on an order it took within the send window."""
    account_stream: bool = Field(True, validation_alias="ACCOUNT_STREAM")
    """Whether venues are listened to besides being asked: fills are then booked as they happen."""
