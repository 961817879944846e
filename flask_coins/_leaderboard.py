"""Leaderboards for one app: which board is meant, who stands where, and under which name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from . import _checks
from ._faults import ATTEMPTS, repeated
from ._leaderboard_reads import Board, BoardReader
from ._state import State
from .errors import CoinsError, InvalidInput
from .results import Place
from .windows import EARLIEST, Forever, Window, parse, zone_of

_MOST_AROUND = 100


def board(
    state: State, window: str | timedelta | Window | None, reason: str | None, currency: str
) -> Board:
    """The board of the present ``window`` in the app's zone: it is one for all.

    That of a season is the season's, also before and after it.
    """
    currency = _checks.currency(currency)
    reason = None if reason is None else _checks.reason(reason)
    counted = Forever() if window is None else parse(window)
    if isinstance(counted, Forever):
        return Board(currency, reason)
    zone = zone_of(state.settings.timezone)
    period = counted.period(state.now(), zone)
    if period is None:
        opens_at = counted.opens_at(EARLIEST, zone)
        period = counted.period(opens_at, zone) if opens_at else None
    if period is None:
        raise InvalidInput(f"A leaderboard of {counted} has no time to count in.")
    return Board(currency, reason, period)


def top(state: State, of: Board, limit: int) -> list[Place]:
    """The first ``limit`` places, without names."""
    return BoardReader(state.table).top(state.session, of, _checks.limit(limit))


def around(state: State, of: Board, user_id: str, each_side: int) -> list[Place]:
    """The place of a user and those on either side, without names; none without a place."""
    if type(each_side) is not int or not 0 <= each_side <= _MOST_AROUND:
        raise InvalidInput(
            f"each_side is an int from 0 to {_MOST_AROUND}, not {_checks.shown(each_side)}."
        )
    return BoardReader(state.table).around(state.session, of, user_id, each_side)


def names(state: State, user_ids: Iterable[str]) -> dict[str, str]:
    """The names that the host's ``user_names_loader`` gives, by id, in one call; some have none.

    It is not asked for those who were erased: their ids are none of its own.
    """
    loader = state.loaders.user_names
    asked = sorted({each for each in user_ids if not each.startswith(_checks.FORGOTTEN)})
    if loader is None or not asked:
        return {}
    found = loader(asked)
    if not isinstance(found, Mapping):
        raise CoinsError(
            f"A user_names_loader answers a dict of ids and names, not {_checks.shown(found)}."
        )
    given = {str(key): name for key, name in found.items()}
    return {each: str(given[each]) for each in asked if given.get(each) is not None}


def named(state: State, *lists: list[Place]) -> list[list[Place]]:
    """The lists with the names that the host gives, in one call for all."""
    known = names(state, (it.user_id for places in lists for it in places))
    return [[replace(it, name=known.get(it.user_id)) for it in places] for places in lists]


def hide(state: State, user: Any, hidden: bool) -> None:
    """Leave a user out of every board, or show them again, in the host's transaction."""
    user_id = _checks.user_id(state.current_user() if user is None else user)
    reader, now = BoardReader(state.table), state.now()

    def attempt() -> None:
        if hidden:
            reader.hide(state.session, user_id, now)
        else:
            reader.show(state.session, user_id)

    # With work of the host's in the transaction, that would have to be repeated too.
    repeated(attempt, 1 if state.session.in_transaction() else ATTEMPTS)


def is_hidden(state: State, user_id: str) -> bool:
    """Whether a user is left out of every board."""
    return BoardReader(state.table).is_hidden(state.session, user_id)
