"""One tree of errors. The class docstring is the message, ``retryable`` says whether hope is left, ``exit_code`` what
the command line returns: 1 error, 2 usage, 3 not found, 4 refused by risk or policy, 5 dependency down, 6 needs
confirmation."""

from typing import Any, ClassVar


class MasterTradeError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", **details: Any) -> None:
        self.details = details
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class UsageError(MasterTradeError):
    """The input cannot be used."""

    exit_code = 2


class ConfigurationError(UsageError):
    """The settings cannot be used."""


class NotFound(MasterTradeError):
    """There is no such thing."""

    exit_code = 3


class Refused(MasterTradeError):
    """Refused by policy."""

    exit_code = 4


class NeedsConfirmation(MasterTradeError):
    """This needs a confirmation."""

    exit_code = 6


class DependencyDown(MasterTradeError):
    """Something MasterTrade depends on does not answer."""

    retryable = True
    exit_code = 5


class DatabaseDown(DependencyDown):
    """PostgreSQL does not answer."""


class OutcomeUnknown(DatabaseDown):
    """The connection broke during COMMIT: the transaction is either stored completely or not at all."""


class DatabaseBusy(DependencyDown):
    """PostgreSQL could not do this in time; trying again later may succeed."""


class DatabaseError(MasterTradeError):
    """PostgreSQL refused a statement."""

    def __init__(self, message: str = "", *, sqlstate: str = "", constraint: str = "", **details: Any) -> None:
        self.sqlstate = sqlstate
        self.constraint = constraint
        super().__init__(message, **details)


class ConstraintViolated(DatabaseError):
    """The database refuses a row that breaks one of its rules; ``constraint`` names the rule."""


class SchemaMismatch(MasterTradeError):
    """The database has another schema version."""

    exit_code = 5


class AlreadyRunning(MasterTradeError):
    """MasterTrade already runs on this database."""

    exit_code = 4


class LeaseLost(MasterTradeError):
    """Another process has taken over this role. This one may write no more; the other goes on with what it left."""

    retryable = True


class BadData(UsageError):
    """The data cannot be used."""
