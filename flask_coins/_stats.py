"""The figures of an app's economy: which period is meant, and all that is read of it."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from . import _checks, _leaderboard
from ._budgets import APP, Cap
from ._leaderboard_reads import Board, BoardReader
from ._state import State
from ._stats_reads import Activity, StatsReader
from .errors import InvalidInput
from .results import DayFlows, Flows, Place, Stats
from .windows import EARLIEST, LATEST, Day, Period, zone_of

_EARNERS = 10


def stats(state: State, since: Any, until: Any, currency: Any) -> Stats:
    """All figures of a period and of now."""
    zone, currency = zone_of(state.settings.timezone), _checks.currency(currency)
    start, end = _start(since, "since", zone), _end(until, zone)
    if start and end and end <= start:
        raise InvalidInput(f"until must lie behind since: {since} to {until}.")
    period = Period(start or EARLIEST, end or LATEST, None) if start or end else None
    reader, session = StatsReader(state.table), state.session
    days = reader.days(session, currency, period, zone)
    in_circulation, held, holders, concentration = reader.stock(session, currency)
    return Stats(
        currency=currency,
        since=start,
        until=end,
        total=_total(days),
        days=days,
        reasons=reader.reasons(session, currency, period),
        top_earners=_earners(state, Board(currency, None, period)),
        in_circulation=in_circulation,
        held=held,
        holders=holders,
        concentration=concentration,
        budgets=reader.budgets(session, currency, _caps(state, currency, zone)),
    )


def compared(
    state: State, since: date, days: int, currency: str
) -> tuple[Activity, Activity, datetime]:
    """What moved in as many ``days`` before, what has since, and up to when the earlier ones count.

    That is the time of day that it is now: a day that has begun is compared with as much of one.
    """
    zone = zone_of(state.settings.timezone)
    start, first = Day().start(since, zone), Day().start(since - timedelta(days=days), zone)
    until = min(first + (state.now() - start), start)
    reader, before = StatsReader(state.table), Period(first, until, None)
    return *reader.compared(state.session, currency, before, start), until


def _total(days: tuple[DayFlows, ...]) -> Flows:
    return Flows(*(sum(getattr(day, each.name) for day in days) for each in fields(Flows)))


def _earners(state: State, board: Board) -> tuple[Place, ...]:
    places = BoardReader(state.table).top(state.session, board, _EARNERS, everyone=True)
    return tuple(_leaderboard.named(state, places)[0])


def _caps(state: State, currency: str, zone: tzinfo) -> list[Cap]:
    """The budgets of the whole app in this currency, as they are now."""
    shared = [it for it in state.settings.budgets if it.per == APP and it.currency == currency]
    return [cap for budget in shared if (cap := budget.cap(state.now(), zone))]


def _start(given: Any, name: str, zone: tzinfo) -> datetime | None:
    """The first instant of a day, or the moment itself."""
    if given is None:
        return None
    is_day = isinstance(given, date) and not isinstance(given, datetime)
    moment = datetime.combine(given, time(), zone) if is_day else given
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidInput(f"{name} is a date or an aware datetime, not {_checks.shown(given)}.")
    if not 1000 < moment.year < 9999:
        raise InvalidInput(f"{name} lies in the years 1001 to 9998, not at {given}.")
    return Day().start(given, zone) if is_day else moment


def _end(given: Any, zone: tzinfo) -> datetime | None:
    """The first instant behind a day, or the moment itself."""
    end = _start(given, "until", zone)
    if end is None or isinstance(given, datetime):
        return end
    return Day().start(given + timedelta(days=1), zone)
