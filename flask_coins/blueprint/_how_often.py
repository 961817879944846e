"""How much a reward pays and how often, in words."""

from __future__ import annotations

import re
from datetime import timedelta

from .. import _words
from ..results import Reward

_TIMEDELTA = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
_BY_CALENDAR = {
    "hour": lambda n: _words.plural("Once an hour", "Up to %(num)s times an hour", n),
    "day": lambda n: _words.plural("Once a day", "Up to %(num)s times a day", n),
    "week": lambda n: _words.plural("Once a week", "Up to %(num)s times a week", n),
    "month": lambda n: _words.plural("Once a month", "Up to %(num)s times a month", n),
    "year": lambda n: _words.plural("Once a year", "Up to %(num)s times a year", n),
    "forever": lambda n: _words.plural("Only once", "Only %(num)s times", n),
    "between": lambda n: _words.plural("Once this season", "Up to %(num)s times this season", n),
}


def how_often(reward: Reward) -> str:
    """``Once a day``, ``Up to 3 times a week``, ``Each time``."""
    if reward.window is None:
        return _words.text("Each time")
    kind, _, rest = reward.window.partition(" ")
    if kind in _BY_CALENDAR:
        return _BY_CALENDAR[kind](reward.limit)
    return _words.plural(
        "Once in %(time)s", "Up to %(num)s times in %(time)s", reward.limit, time=_length(rest)
    )


def how_much(reward: Reward, units: bool = False) -> str:
    """``15``, ``15, 25 or 40``, ``5 to 100``, with ``units`` ``15 coins``; nothing if a view decides.

    Of more than five amounts the least and the most are told.
    """
    *others, most = (reward.amount,) if reward.amount else reward.amounts or (0,)
    last = _words.units(most, reward.currency) if units else _words.amount(most)
    if len(others) >= 5:
        return _words.text("%(least)s to %(most)s", least=_words.amount(others[0]), most=last)
    if others:
        some = ", ".join(map(_words.amount, others))
        return _words.text("%(some)s or %(last)s", some=some, last=last)
    return last if most else ""


def _length(written: str) -> str:
    """A timedelta, as Python writes it, in words."""
    found = _TIMEDELTA.match(written)
    if not found:
        return written
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return _words.duration(length)
