"""Where a learner is."""

from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from zoneinfo import available_timezones

from flask_coins.windows import zone_of


@lru_cache(maxsize=1024)
def as_zone(name: str) -> tzinfo:
    """The zone of an IANA name, or of a fixed offset such as "+05:30".

    For others a ValueError in words for learners.
    """
    try:
        if name[:1] in ("+", "-"):
            return datetime.strptime(name, "%z").tzinfo or timezone.utc
        return zone_of(name)
    except ValueError as error:
        raise ValueError("Choose a time zone from the list, such as Europe/Berlin.") from error


@lru_cache(maxsize=1)
def zone_names() -> list[str]:
    """The IANA names, for a form."""
    return sorted(available_timezones())
