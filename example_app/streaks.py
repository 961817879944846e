"""The days of a streak, for a calendar."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select

from flask_coins import CoinEntry, Streak

from .extensions import db
from .models import User

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """A day on a learner's calendar. ``state`` is a word that the pages show and style."""

    date: date
    state: str
    """``"paid"``, ``"frozen"``, ``"missed"``, ``"today"`` or ``"coming"``."""


def days(user: User, streak: Streak, first: date, last: date) -> list[Day]:
    """Each day from ``first`` to ``last``, both included."""
    today, paid = user.today(), days_paid(user, first, last)
    unbroken = today if streak.paid else today - DAY
    begun = unbroken - (streak.length + streak.frozen - 1) * DAY

    def state(day: date) -> str:
        if day in paid:
            return "paid"
        if day >= today:
            return "today" if day == today else "coming"
        return "frozen" if streak.length and begun <= day else "missed"

    dates = (first + number * DAY for number in range((last - first).days + 1))
    return [Day(day, state(day)) for day in dates]


def days_paid(user: User, first: date, last: date) -> set[date]:
    """The days that ``user`` was paid a login for, by the names under which they were paid."""
    query = select(CoinEntry.once_key).where(
        CoinEntry.user_id == user.get_id(),
        CoinEntry.currency == "coins",
        CoinEntry.reason == "daily_login",
        CoinEntry.once_key.between(f"day:{first}", f"day:{last}"),
    )
    return {date.fromisoformat(key.removeprefix("day:")) for key in db.session.scalars(query)}


def this_week(user: User, streak: Streak) -> list[Day]:
    """Monday to Sunday."""
    monday = user.today() - user.today().weekday() * DAY
    return days(user, streak, monday, monday + 6 * DAY)
