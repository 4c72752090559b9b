"""Everything about one question that is not the question: for which warehouse, for whom, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from queryfleet.errors import ParameterError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.parameters import ParameterValue

__all__ = ["Context", "zone_of"]

_WEEKDAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the SQL of a question depends on, besides the explore.

    Raises:
        ParameterError: A time zone is not known, `start_of_week` is not 0 to 6, or `now` has no zone.
    """

    dialect: Dialect
    now: dt.datetime  # aware; rounded by `moments.rounded`, so that equal questions give equal SQL
    timezone: str = "UTC"  # IANA name; days begin and end in it
    # IANA name: moments without a zone in the warehouse are of this one. The warehouse's session must be set to it.
    data_timezone: str = "UTC"
    start_of_week: int | None = None  # 0 Monday … 6 Sunday; None: the warehouse's own
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the caller's values by attribute name
    email: str | None = None  # the caller's; None: not known
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)  # by name; those without a value are missing
    case_sensitive: bool = True  # of text filters, where nothing nearer says
    fields: frozenset[str] = frozenset()  # field ids that are selected; for `ld.query.fields`
    filtered: frozenset[str] = frozenset()  # field ids that have a filter; for `ld.query.filters`

    def __post_init__(self) -> None:
        zone_of(self.timezone)
        zone_of(self.data_timezone)
        if self.start_of_week is not None and not 0 <= self.start_of_week < _WEEKDAYS:
            raise ParameterError(f"the start of the week is {self.start_of_week}; write 0 (Monday) to 6 (Sunday)")
        if self.now.tzinfo is None:
            raise ParameterError("the current moment has no time zone")

    @property
    def week_start(self) -> int:
        """Return the first day of the week, 0 Monday … 6 Sunday."""
        return self.dialect.default_week_start if self.start_of_week is None else self.start_of_week


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        ParameterError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; a path out of the database; a folder of it
        shown = name if len(name) <= 60 else f"{name[:59]}…"  # noqa: PLR2004 - enough to recognise it
        raise ParameterError(
            f"`{shown}` is no time zone; write an IANA name such as `Europe/Berlin`", timezone=shown
        ) from None
