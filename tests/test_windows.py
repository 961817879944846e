"""Civil time: the examples people argue about, then chance moments against a plain scan."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
import random
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from flask_coins.errors import CoinsError, InvalidInput
from flask_coins.windows import (
    Between,
    Day,
    Forever,
    Hour,
    Month,
    Period,
    Rolling,
    Week,
    Window,
    Year,
    parse,
    zone_of,
)

Dated = Day | Week | Month | Year
UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
TICK = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day_of(zone: str, moment: str, starts_at: time = time(0)) -> Period:
    return Day(starts_at).period(utc(moment), zone_of(zone))


DAYS = [  # zone, a moment in UTC, the label of its day, the day's first instant and its hours
    ("UTC", "2026-11-22T12:00", "2026-11-22", "2026-11-22T00:00", 24),
    ("Europe/Berlin", "2026-03-29T01:00", "2026-03-29", "2026-03-28T23:00", 23),
    ("Europe/Berlin", "2026-10-25T22:59", "2026-10-25", "2026-10-24T22:00", 25),
    ("America/New_York", "2026-03-08T12:00", "2026-03-08", "2026-03-08T05:00", 23),
    ("America/New_York", "2026-11-02T04:59", "2026-11-01", "2026-11-01T04:00", 25),
    ("America/Havana", "2026-03-08T05:00", "2026-03-08", "2026-03-08T05:00", 23),
    ("America/Havana", "2026-11-01T05:30", "2026-11-01", "2026-11-01T04:00", 25),
    ("America/Sao_Paulo", "2018-11-04T03:00", "2018-11-04", "2018-11-04T03:00", 23),
    ("America/Sao_Paulo", "2018-02-18T02:30", "2018-02-17", "2018-02-17T02:00", 25),
    ("Asia/Beirut", "2022-03-26T22:00", "2022-03-27", "2022-03-26T22:00", 23),
    ("Asia/Beirut", "2022-10-29T21:30", "2022-10-29", "2022-10-28T21:00", 25),
    ("Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-05", "2026-04-04T13:00", 24.5),
    ("Australia/Lord_Howe", "2026-10-04T00:00", "2026-10-04", "2026-10-03T13:30", 23.5),
    ("Africa/Casablanca", "2024-03-10T12:00", "2024-03-10", "2024-03-09T23:00", 25),
    ("Africa/Casablanca", "2024-04-14T12:00", "2024-04-14", "2024-04-14T00:00", 23),
    ("America/St_Johns", "2006-04-02T03:31", "2006-04-02", "2006-04-02T03:30", 23),
    ("Pacific/Apia", "2011-12-30T09:59", "2011-12-29", "2011-12-29T10:00", 24),
    ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31", "2011-12-30T10:00", 24),
    ("Pacific/Kwajalein", "1993-08-21T11:59", "1993-08-20", "1993-08-20T12:00", 24),
    ("Pacific/Kwajalein", "1993-08-21T12:00", "1993-08-22", "1993-08-21T12:00", 24),
    ("Africa/Monrovia", "1971-06-01T00:44:30", "1971-06-01", "1971-06-01T00:44:30", 24),
]


@pytest.mark.parametrize(("zone", "moment", "label", "start", "hours"), DAYS)
def test_a_day_is_the_one_on_the_users_calendar(
    zone: str, moment: str, label: str, start: str, hours: float
) -> None:
    end = utc(start) + timedelta(hours=hours)
    assert day_of(zone, moment) == Period(utc(start), end, f"day:{label}")


def test_a_clock_that_falls_back_across_midnight_does_not_reopen_yesterday() -> None:
    before, after = "2006-10-29T02:30", "2006-10-29T02:31"
    newfoundland = zone_of("America/St_Johns")
    assert utc(after).astimezone(newfoundland).date() == date(2006, 10, 28)
    assert day_of("America/St_Johns", after).label == "day:2006-10-29"
    assert day_of("America/St_Johns", after) == day_of("America/St_Johns", before)


@pytest.mark.parametrize(
    ("zone", "skipped"), [("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21")]
)
def test_a_skipped_day_is_nobodys(zone: str, skipped: str) -> None:
    hours = (utc(skipped) + timedelta(hours=n) for n in range(-100, 100))
    labels = {Day().period(hour, zone_of(zone)).label for hour in hours}
    assert f"day:{skipped}" not in labels
    assert len(labels) == 9


@pytest.mark.parametrize(
    ("zone", "starts_at", "start"),
    [
        ("Europe/Berlin", time(2, 30), "2026-03-29T01:00"),
        ("America/New_York", time(2, 0, 1), "2026-03-08T07:00"),
        ("Pacific/Chatham", time(3), "2026-09-26T14:00"),
        ("Australia/Lord_Howe", time(2, 15), "2026-10-03T15:30"),
    ],
)
def test_a_day_that_starts_in_a_gap_starts_behind_it(
    zone: str, starts_at: time, start: str
) -> None:
    assert day_of(zone, start, starts_at).start == utc(start)
    assert day_of(zone, start, starts_at).label == day_of(zone, start).label
    before = Day(starts_at).period(utc(start) - TICK, zone_of(zone))
    assert before.end == utc(start)


def test_a_day_that_starts_in_a_repeated_hour_starts_at_the_first() -> None:
    day = day_of("Europe/Berlin", "2026-10-25T01:15", time(2, 30))
    assert (day.start, day.label) == (utc("2026-10-25T00:30"), "day:2026-10-25")


def test_a_late_start_belongs_to_the_day_it_began_on() -> None:
    assert day_of("UTC", "2026-11-22T03:59:59.999999", time(4)).label == "day:2026-11-21"
    assert day_of("UTC", "2026-11-22T04:00", time(4)).label == "day:2026-11-22"


@pytest.mark.parametrize(
    ("moment", "label"),
    [
        ("2020-12-28", "2020-W53"),
        ("2021-01-03T23:59", "2020-W53"),
        ("2021-01-04", "2021-W01"),
        ("2024-12-30", "2025-W01"),
        ("2026-11-22", "2026-W47"),
        ("2027-01-03", "2026-W53"),
    ],
)
def test_weeks_are_those_of_iso_8601(moment: str, label: str) -> None:
    week = Week().period(utc(moment), UTC)
    assert week.label == f"week:{label}"
    assert (week.start.weekday(), week.end - week.start) == (0, timedelta(days=7))


def test_a_week_may_begin_later_on_monday() -> None:
    assert Week(time(4)).period(utc("2026-11-23T03:59"), UTC).label == "week:2026-W47"
    assert Week(time(4)).period(utc("2026-11-23T04:00"), UTC).label == "week:2026-W48"


def test_months_and_years_are_the_users_too() -> None:
    month = Month().period(utc("2026-10-31T23:30"), BERLIN)
    assert month == Period(utc("2026-10-31T23:00"), utc("2026-11-30T23:00"), "month:2026-11")
    year = Year().period(utc("2026-12-31T23:00"), BERLIN)
    assert year == Period(utc("2026-12-31T23:00"), utc("2027-12-31T23:00"), "year:2027")
    assert Year(time(4)).period(utc("2025-01-01T03:59"), UTC).label == "year:2024"
    year = Year().period(utc("2026-07-15"), UTC)
    assert year == Period(utc("2026-01-01"), utc("2027-01-01"), "year:2026")
    month = Month().period(utc("2026-07-15"), UTC)
    assert month == Period(utc("2026-07-01"), utc("2026-08-01"), "month:2026-07")


@pytest.mark.parametrize(
    ("window", "label", "first", "following"),
    [
        (Day(time(4)), "day:2026-02-28", date(2026, 2, 28), date(2026, 3, 1)),
        (Week(), "week:2026-W53", date(2026, 12, 28), date(2027, 1, 4)),
        (Week(), "week:2025-W01", date(2024, 12, 30), date(2025, 1, 6)),
        (Month(), "month:2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        (Month(), "month:2026-02", date(2026, 2, 1), date(2026, 3, 1)),
        (Year(), "year:2028", date(2028, 1, 1), date(2029, 1, 1)),
    ],
)
def test_a_label_names_the_first_date_of_its_period(
    window: Dated, label: str, first: date, following: date
) -> None:
    assert window.first_date(label) == first
    assert window.following(first) == following
    start, end = (window.start(each, BERLIN) for each in (first, following))
    assert window.period(start, BERLIN) == Period(start, end, label)
    assert window.date_of(end - TICK, BERLIN) == first
    assert window.date_of(end, BERLIN) == following


@pytest.mark.parametrize("label", ["", "forever", "day:2026-11-22#2", "week:2026", "year:2026x"])
@pytest.mark.parametrize("window", [Day(), Week(), Month(), Year()], ids=str)
def test_a_label_of_another_kind_names_no_date(window: Dated, label: str) -> None:
    assert window.first_date(label) is None


HOURS = [  # zone, a moment in UTC, the label, the first instant and the minutes
    ("Europe/Berlin", "2026-10-25T00:59", "2026-10-25T02+02:00", "2026-10-25T00:00", 60),
    ("Europe/Berlin", "2026-10-25T01:00", "2026-10-25T02+01:00", "2026-10-25T01:00", 60),
    ("Europe/Berlin", "2026-03-29T01:00", "2026-03-29T03+02:00", "2026-03-29T01:00", 60),
    ("Asia/Kathmandu", "2026-01-01T00:20", "2026-01-01T06+05:45", "2026-01-01T00:15", 60),
    ("America/St_Johns", "2006-10-29T02:30:30", "2006-10-29T00-02:30", "2006-10-29T02:30", 1),
    ("America/St_Johns", "2006-10-29T02:31", "2006-10-28T23-03:30", "2006-10-29T02:31", 59),
    ("Australia/Lord_Howe", "2026-04-04T15:10", "2026-04-05T01+10:30", "2026-04-04T15:00", 30),
    ("Australia/Lord_Howe", "2026-10-03T15:40", "2026-10-04T02+11:00", "2026-10-03T15:30", 30),
    ("Africa/Monrovia", "1971-01-01T01:00", "1971-01-01T00-00:44:30", "1971-01-01T00:44:30", 60),
    ("UTC", "2026-01-01T23:59:59.999999", "2026-01-01T23+00:00", "2026-01-01T23:00", 60),
]


@pytest.mark.parametrize(("zone", "moment", "label", "start", "minutes"), HOURS)
def test_an_hour_is_one_of_the_users_clock_and_its_offset(
    zone: str, moment: str, label: str, start: str, minutes: int
) -> None:
    end = utc(start) + timedelta(minutes=minutes)
    expected = Period(utc(start), end, f"hour:{label}")
    assert Hour().period(utc(moment), zone_of(zone)) == expected


def test_forever_is_one_period() -> None:
    period = Forever().period(utc("2026-11-22"), BERLIN)
    assert period.label == "forever"
    assert (period.start, period.end) == (utc("1000-01-01"), datetime.max.replace(tzinfo=UTC))


def test_rolling_counts_what_is_newer_than_its_delta() -> None:
    period = Rolling(timedelta(hours=8)).period(utc("2026-11-22T12:00"), BERLIN)
    assert period.start == utc("2026-11-22T04:00:00.000001")
    assert (period.end, period.label) == (datetime.max.replace(tzinfo=UTC), None)


def test_a_season_with_naive_ends_is_in_local_time() -> None:
    winter = Between("winter-2026", datetime(2026, 12, 1), datetime(2027, 3, 1))
    start, end = utc("2026-11-30T23:00"), utc("2027-02-28T23:00")
    assert winter.period(start - TICK, BERLIN) is None
    assert winter.period(start, BERLIN) == Period(start, end, "between:winter-2026")
    assert winter.period(end - TICK, BERLIN) == winter.period(start, BERLIN)
    assert winter.period(end, BERLIN) is None
    assert winter.period(start, UTC) is None


def test_a_season_with_aware_ends_is_the_same_everywhere() -> None:
    sale = Between("sale", utc("2026-12-01"), datetime(2026, 12, 2, tzinfo=BERLIN))
    for zone in (BERLIN, UTC, zone_of("Pacific/Kiritimati")):
        season = sale.period(utc("2026-12-01"), zone)
        assert season == Period(utc("2026-12-01"), utc("2026-12-01T23:00"), "between:sale")


def test_a_season_follows_the_rule_of_starts() -> None:
    gap = Between("gap", datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30, fold=1))
    season = gap.period(utc("2026-07-01"), BERLIN)
    assert season is not None
    assert (season.start, season.end) == (utc("2026-03-29T01:00"), utc("2026-10-25T00:30"))


def test_a_season_may_end_by_two_clocks() -> None:
    race = Between("race", datetime(2026, 1, 1, 12), utc("2026-01-01T06:00"))
    east = zone_of("Pacific/Kiritimati")
    assert race.opens_at(utc("2025-12-01"), east) == utc("2025-12-31T22:00")
    assert race.opens_at(utc("2025-12-01"), UTC) is None
    assert race.period(utc("2026-01-01T12:00"), UTC) is None


def test_a_season_may_last_since_ever_and_until_never() -> None:
    always = Between("always", datetime.min, datetime.max)
    period = always.period(utc("2026-11-22"), zone_of("Pacific/Kiritimati"))
    assert period == Period(*_bounds(), "between:always")
    west = timezone(timedelta(hours=-12))
    aware = Between(
        "always", datetime.min.replace(tzinfo=BERLIN), datetime.max.replace(tzinfo=west)
    )
    assert aware.period(utc("2026-11-22"), BERLIN) == period


def _bounds() -> tuple[datetime, datetime]:
    forever = Forever().period(utc("2026-11-22"), UTC)
    return forever.start, forever.end


def test_a_window_tells_when_it_opens() -> None:
    moment, later = utc("2026-11-22T12:00"), utc("2026-12-01")
    season = Between("s", later, utc("2027-01-01"))
    assert [parse(word).opens_at(moment, BERLIN) for word in ("hour", "forever")] == [moment] * 2
    assert season.opens_at(moment, BERLIN) == later
    assert season.opens_at(later + TICK, BERLIN) == later + TICK
    assert season.opens_at(utc("2027-01-01"), BERLIN) is None


WORDS = {
    "hour": Hour(),
    "day": Day(),
    "week": Week(),
    "month": Month(),
    "year": Year(),
    "forever": Forever(),
}


@pytest.mark.parametrize(("word", "window"), WORDS.items())
def test_a_word_is_a_window_and_a_window_spells_its_word(word: str, window: Window) -> None:
    assert parse(word) == window == parse(window)
    assert str(window) == word
    assert pickle.loads(pickle.dumps(window)) == window


def test_a_window_keeps_the_newest_four_periods_of_a_zone() -> None:
    window = Day()
    moments = [utc(f"2026-11-{day}") for day in range(10, 15)]
    kept = [window.period(moment, BERLIN) for moment in moments]
    assert all(window.period(moments[n], BERLIN) is kept[n] for n in range(1, 5))
    assert window.period(kept[4].start, BERLIN) is kept[4]
    assert window.period(moments[0], BERLIN) is not kept[0]


def test_a_season_is_kept_too() -> None:
    winter = Between("winter-2026", datetime(2026, 12, 1), datetime(2027, 3, 1))
    kept = winter.period(utc("2026-12-24"), BERLIN)
    assert kept is not None
    assert winter.period(utc("2027-01-01"), BERLIN) is kept


def test_a_window_keeps_periods_of_at_most_1024_zones() -> None:
    window, moment = Day(), utc("2026-11-22T12:00")
    zones = [timezone(timedelta(seconds=seconds)) for seconds in range(1025)]
    first, *_ = [window.period(moment, zone) for zone in zones[:1024]]
    assert window.period(moment, zones[0]) is first
    window.period(moment, zones[1024])
    assert window.period(moment, zones[0]) is not first


def test_what_a_window_keeps_is_no_part_of_its_value() -> None:
    asked = Day(time(4))
    asked.period(utc("2026-11-22"), BERLIN)
    assert asked == Day(time(4))
    assert repr(asked) == "Day(starts_at=datetime.time(4, 0))"


def test_what_another_zone_left_under_its_id_is_not_used() -> None:
    day, moment = Day(), utc("2026-11-22T23:30")
    tomorrow = day.period(moment, BERLIN)
    day._seen[id(UTC)] = day._seen[id(BERLIN)]  # as in a window that comes from another process
    assert day.period(moment, UTC) != tomorrow


def test_windows_are_spelled_for_people() -> None:
    assert str(Day(time(4))) == "day from 04:00"
    assert str(Week(time(4, 0, 30))) == "week from 04:00:30"
    assert str(parse(timedelta(hours=8))) == "rolling 8:00:00"
    season = Between("winter-2026", datetime(2026, 12, 1), datetime(2027, 3, 1))
    assert str(season) == "between winter-2026"


def test_windows_are_values() -> None:
    assert Day() == Day(time(0)) != Day(time(4))
    assert len({Day(), Day(time(0)), Week(), Rolling(timedelta(1)), parse(timedelta(1))}) == 3
    with pytest.raises(AttributeError):
        Day().starts_at = time(4)  # type: ignore[misc]


def test_travellers_can_be_two_days_ahead_but_only_one_week() -> None:
    season = Between("s", datetime(2026, 12, 1), datetime(2027, 3, 1))
    assert [Day.ahead, Week.ahead, Month.ahead, Year.ahead] == [2, 1, 1, 1]
    assert [Hour.ahead, Forever.ahead, Rolling.ahead, season.ahead] == [0, 0, 0, 0]


@pytest.mark.parametrize("bad", ["daily", "Day", "", Day, None, 1, True, [], time(4), b"day"])
def test_what_is_no_window_is_told_the_choices(bad: object) -> None:
    with pytest.raises(InvalidInput, match='use "hour", "day", "week"') as caught:
        parse(bad)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CoinsError)


@pytest.mark.parametrize("kind", [Day, Week, Month, Year])
@pytest.mark.parametrize("bad", ["04:00", 4, None, time(4, tzinfo=UTC), utc("2026-01-01")])
def test_a_day_starts_at_a_naive_time(kind: type[Day], bad: object) -> None:
    with pytest.raises(InvalidInput, match=r"naive datetime\.time"):
        kind(starts_at=bad)  # type: ignore[arg-type]


TOO_LONG = timedelta(365_000) + TICK


@pytest.mark.parametrize("bad", [timedelta(0), -timedelta(1), TOO_LONG, 8, None, "8h"])
def test_a_cooldown_is_a_sensible_timedelta(bad: object) -> None:
    with pytest.raises(InvalidInput, match="above zero"):
        Rolling(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "Winter", "a" * 41, "a b", "a:b", "a#2", "ä", "a\n", None, 1])
def test_a_season_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="name of a Between"):
        Between(name, datetime(2026, 1, 1), datetime(2026, 2, 1))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2026, 2, 1), datetime(2026, 2, 1)),
        (utc("2026-02-01"), utc("2026-01-01")),
        (datetime(2026, 1, 2, tzinfo=BERLIN), utc("2026-01-01T23:00")),
        (datetime(2026, 2, 2), utc("2026-02-01")),
        (datetime.max, datetime.min),
    ],
)
def test_a_season_starts_before_it_ends(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidInput, match="must start before it ends"):
        Between("s", start, end)


@pytest.mark.parametrize("bad", [date(2026, 1, 1), "2026-01-01", None, 0])
def test_a_season_runs_between_datetimes(bad: object) -> None:
    with pytest.raises(InvalidInput, match="datetime"):
        Between("s", bad, datetime(2026, 2, 1))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="datetime"):
        Between("s", datetime(2026, 2, 1), bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", [Hour(), Day(), Year(), Rolling(timedelta(1))], ids=str)
def test_a_naive_moment_is_refused(window: Window) -> None:
    window.period(utc("2026-01-01"), UTC)
    with pytest.raises(InvalidInput, match="aware"):
        window.period(datetime(2026, 1, 1), UTC)


def test_a_moment_may_come_in_any_zone() -> None:
    tokyo = datetime(2026, 11, 23, 7, tzinfo=zone_of("Asia/Tokyo"))
    assert Day().period(tokyo, BERLIN) == Day().period(utc("2026-11-22T22:00"), BERLIN)


@pytest.mark.parametrize("window", [*WORDS.values(), Rolling(timedelta(1))], ids=str)
def test_a_period_is_told_in_utc(window: Window) -> None:
    period = window.period(datetime(2026, 11, 22, 12, tzinfo=BERLIN), BERLIN)
    assert period is not None
    assert period.start.tzinfo is period.end.tzinfo is UTC


def test_a_season_may_reach_to_the_ends_of_time_and_is_cut_there() -> None:
    moment = utc("2026-11-22")
    whole = Between("s", datetime(1000, 1, 2), datetime(9999, 12, 30)).period(moment, UTC)
    assert whole == Period(utc("1000-01-02"), utc("9999-12-30"), "between:s")
    start, end = datetime(1000, 1, 2) - TICK, datetime(9999, 12, 30) + TICK
    cut = Between("s", start, end).period(moment, UTC)
    assert cut == Period(utc("1000-01-01"), datetime.max.replace(tzinfo=UTC), "between:s")


def test_a_zone_is_an_iana_name_or_a_tzinfo() -> None:
    assert zone_of("Europe/Berlin") == BERLIN
    assert zone_of(BERLIN) is BERLIN
    assert zone_of(UTC) is UTC
    assert zone_of("UTC") is UTC  # also where there is no time zone data


@pytest.mark.parametrize(
    "bad", ["Mars/Base", "", "Europe", "../UTC", "/etc/passwd", "a\0b", "\ud800"]
)
def test_an_unknown_zone_is_named(bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"There is no time zone .* tzdata") as caught:
        zone_of(bad)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("bad", [None, 1, b"UTC", timedelta(hours=1)])
def test_what_is_no_zone_is_refused(bad: object) -> None:
    with pytest.raises(InvalidInput, match="IANA name or a tzinfo"):
        zone_of(bad)  # type: ignore[arg-type]


class Fixed(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=9)

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, when: datetime | None) -> None:
        return None


class Pytz(Fixed):
    """As pytz's zones are: they have to be replaced, for they know no folds."""

    def __init__(self, zone: str | None) -> None:
        self.zone = zone

    def localize(self, when: datetime) -> datetime:
        raise NotImplementedError


def test_a_zone_of_pytz_becomes_that_of_zoneinfo() -> None:
    assert zone_of(Pytz("Europe/Berlin")) == BERLIN
    offset = Pytz(None)
    assert zone_of(offset) is offset


class Unhashable(Fixed):
    """As dateutil's zones are."""

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("window", WORDS.values(), ids=str)
def test_a_zone_need_not_be_hashable(window: Window) -> None:
    moment, tokyo = utc("2026-11-22T12:00"), zone_of("Asia/Tokyo")
    assert window.period(moment, Unhashable()) == window.period(moment, tokyo)


def test_many_zones_at_once_are_not_mixed_up() -> None:
    day, moment = Day(), utc("2026-11-22T12:00")
    for seconds in [*range(0, 30_000, 20)] * 2:
        start = utc("2026-11-22") - timedelta(seconds=seconds)
        assert day.period(moment, timezone(timedelta(seconds=seconds))).start == start


@pytest.mark.parametrize("year", [1971, 2999])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_nothing_breaks_far_away(year: int, zone: str) -> None:
    windows = [*WORDS.values(), Rolling(timedelta(365_000)), Rolling(TICK)]
    for window, moment in itertools.product(windows, (utc(f"{year}-01-01"), utc(f"{year}-12-31"))):
        period = window.period(moment, zone_of(zone))
        assert period is not None
        assert utc("1000-01-01") <= period.start <= moment < period.end
        assert len(period.label or "") <= 58


# From here on: chance moments near clock changes, held against scans that share no code with
# the package.

SAMPLE = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Juba",
    "Africa/Monrovia",
    "America/Asuncion",
    "America/Caracas",
    "America/Godthab",
    "America/Havana",
    "America/Los_Angeles",
    "America/Metlakatla",
    "America/New_York",
    "America/Port-au-Prince",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Dhaka",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/London",
    "Europe/Volgograd",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Pacific/Norfolk",
]


@functools.cache
def clock_changes(name: str) -> list[datetime]:
    """Midnights in UTC, each followed by a clock change within the day."""
    days = [utc("1971-01-02") + timedelta(days=n) for n in range(67 * 365)]
    pairs = itertools.pairwise((day, day.astimezone(ZoneInfo(name)).utcoffset()) for day in days)
    return [day for (day, one), (_, two) in pairs if one != two]


def some_clock_changes(name: str, chance: random.Random, count: int) -> list[datetime]:
    changes = clock_changes(name)
    return chance.sample(changes, min(count, len(changes)))


def scan(reading: datetime, zone: tzinfo) -> datetime:
    """The first instant whose local time is at or behind the reading: minutes, then seconds."""
    instant = reading.replace(tzinfo=UTC) - timedelta(hours=16)
    for step in (timedelta(minutes=1), timedelta(seconds=1)):
        while instant.astimezone(zone).replace(tzinfo=None) < reading:
            instant += step
        found, instant = instant, instant - timedelta(minutes=1)
    return found


def first_date(label: str) -> date:
    kind, _, name = label.partition(":")
    if kind == "week":
        return date.fromisocalendar(int(name[:4]), int(name[6:]), 1)
    return date.fromisoformat((name + "-01-01")[:10])


def following_date(window: Dated, first: date) -> date:
    """The first later date that the calendar names otherwise."""
    name = {Day: "%j", Week: "%V", Month: "%m", Year: "%Y"}[type(window)]
    days = (first + timedelta(days=n) for n in range(367))
    return next(day for day in days if day.strftime(name) != first.strftime(name))


@pytest.mark.parametrize("name", SAMPLE)
def test_near_clock_changes_a_scan_agrees(name: str) -> None:
    zone, chance = zone_of(name), random.Random(name)
    for change in some_clock_changes(name, chance, 4):
        moment = change + timedelta(seconds=chance.uniform(-30, 54) * 3600)
        starts_at = time(chance.randrange(24), chance.randrange(60))
        windows: list[Dated] = [Day(), Day(starts_at), Week(), Month(starts_at), Year()]
        for window in [*windows[:2], chance.choice(windows[2:])]:
            check_by_scan(window, moment, zone)


def check_by_scan(window: Dated, moment: datetime, zone: tzinfo) -> None:
    period = window.period(moment, zone)
    first = first_date(period.label or "")
    dates = (first, following_date(window, first))
    starts = [scan(datetime.combine(day, window.starts_at), zone) for day in dates]
    assert [period.start, period.end] == starts
    assert period.start <= moment < period.end


@pytest.mark.parametrize("name", SAMPLE)
def test_periods_tile_time_and_labels_only_go_up(name: str) -> None:
    zone, chance = zone_of(name), random.Random(name)
    windows: list[Dated] = [Day(), Day(time(0, 30)), Week(), Month(), Year()]
    for change in some_clock_changes(name, chance, 5):
        for window in windows:
            periods = walk(window, change - timedelta(days=3), 7, zone)
            labels = [period.label or "" for period in periods]
            assert labels == sorted(set(labels))


def walk(window: Dated | Hour, moment: datetime, count: int, zone: tzinfo) -> list[Period]:
    """That many periods on end, each the same when it is asked for by its last microsecond."""
    periods: list[Period] = []
    for _ in range(count):
        period = window.period(moment, zone)
        assert not periods or period.start == moment
        afresh = dataclasses.replace(window)
        assert afresh.period(period.end - TICK, zone) == period
        periods.append(period)
        moment = period.end
    return periods


@pytest.mark.parametrize("name", SAMPLE)
def test_every_instant_has_one_hour(name: str) -> None:
    zone, chance = zone_of(name), random.Random(name)
    for change in some_clock_changes(name, chance, 3):
        hours = walk(Hour(), change - timedelta(hours=1), 28, zone)
        assert len({hour.label for hour in hours}) == 28
        hour = chance.choice(hours)
        assert faces(hour, zone) == {hour.label}


def faces(hour: Period, zone: tzinfo) -> set[str]:
    """What the clock shows down to the hour, with its offset, at each second of the period."""
    seconds = range(int((hour.end - hour.start).total_seconds()))
    clock = ((hour.start + timedelta(seconds=n)).astimezone(zone) for n in seconds)
    return {f"hour:{face.isoformat(timespec='hours')}" for face in clock}
