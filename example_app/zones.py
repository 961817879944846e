"""Where a learner is."""

from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from itertools import groupby
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
def zone_names() -> dict[str, list[str]]:
    """The IANA names of places by their region, for a form."""
    places = sorted(name for name in available_timezones() if name[0].isupper() and "/" in name)
    regions = {
        region: list(names) for region, names in groupby(places, lambda name: name.split("/")[0])
    }
    return {
        region: names for region, names in regions.items() if region not in ("Etc", "SystemV", "US")
    }
