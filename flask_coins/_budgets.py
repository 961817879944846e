"""Limits on an economy: how many coins a reason may pay, to one user or in all, in a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from ._models import MAX_AMOUNT
from .errors import InvalidInput
from .windows import Between, Period, Rolling, Window, parse

USER, APP = "user", "app"
_KEYS = {"most", "window", "reason", "per", "currency"}
_SHAPE = (
    'a list of dicts such as {"most": 100, "window": "day"}, with "reason", "per" ("user" or "app")'
    ' and "currency" as you need'
)


@dataclass(frozen=True)
class Budget:
    """At most ``most`` coins for ``reason``, or for all reasons, in each ``window``."""

    most: int
    window: Window
    reason: str | None = None
    """None stands for all reasons together."""
    per: str = USER
    """``"user"``: to each user; ``"app"``: to all users together."""
    currency: str = "coins"

    def covers(self, currency: str, reason: str) -> bool:
        """Whether a payment of this kind counts."""
        return self.currency == currency and self.reason in (None, reason)

    def shares_row_with(self, other: Budget) -> bool:
        """Whether both, budgets of the app, would count their coins in the same row."""

        def row(budget: Budget) -> tuple[Any, ...]:
            name = budget.window.name if isinstance(budget.window, Between) else None
            return budget.per, budget.currency, budget.reason, type(budget.window), name

        return row(self) == row(other)

    def cap(self, now: datetime, zone: tzinfo) -> Cap | None:
        """What it allows at the moment ``now``; None outside of a season, where it says nothing.

        ``zone`` is the app's: a budget is the owner's limit, and not the user's day.
        """
        period = self.window.period(now, zone)
        return Cap(self, period) if period else None


class Shortage(NamedTuple):
    """That budgets have too little left for a payment."""

    left: int
    opens_at: datetime | None
    """The first instant at which it fits; None: never, or not known."""

    @classmethod
    def of_all(cls, each: Sequence[Shortage]) -> Shortage:
        """All of them together: each must have opened, and one that never does has the last word."""
        opens = [one.opens_at for one in each if one.opens_at is not None]
        left = min(one.left for one in each)
        return cls(left, max(opens) if len(opens) == len(each) else None)


class Cap(NamedTuple):
    """A budget at one moment: the stretch of time that its coins are counted in."""

    budget: Budget
    period: Period

    def shortage(self, amount: int, rows: Sequence[tuple[datetime, int]]) -> Shortage | None:
        """What is left after ``rows`` of (moment, coins), where that is less than ``amount``."""
        left = self.budget.most - sum(coins for _, coins in rows)
        return None if amount <= left else Shortage(max(left, 0), self.opens_at(amount, rows))

    def opens_at(self, amount: int, rows: Sequence[tuple[datetime, int]]) -> datetime | None:
        """The first instant at which ``amount`` fits, after ``rows`` of (moment, coins); or None.

        Of a calendar's windows that is the next: what is paid by then is not known. Once a season
        is over, it says nothing any more.
        """
        window, most = self.budget.window, self.budget.most
        if amount > most and not isinstance(window, Between):
            return None
        if not isinstance(window, Rolling):
            return None if self.period.end.year == datetime.max.year else self.period.end
        paid = sum(coins for _, coins in rows)
        for moment, coins in sorted(rows):
            paid -= coins
            if paid + amount <= most:
                return moment + window.delta
        return None


def budgets(given: Any) -> tuple[Budget, ...]:
    """The budgets of a list of dicts, as ``COINS_BUDGETS`` holds them; InvalidInput if it is none."""
    if not isinstance(given, list | tuple):
        raise InvalidInput(f" must be {_SHAPE}")
    found: list[Budget] = []
    for number, each in enumerate(given):
        try:
            found.append(_budget(each, found))
        except InvalidInput as error:
            raise InvalidInput(f"[{number}]: {error}") from error
    return tuple(found)


def _budget(given: Any, before: Sequence[Budget]) -> Budget:
    if not isinstance(given, dict) or not {"most", "window"} <= set(given) <= _KEYS:
        raise InvalidInput(f"the setting is {_SHAPE}")
    budget = Budget(**{**given, "window": parse(given["window"])})
    if type(budget.most) is not int or not 0 <= budget.most <= MAX_AMOUNT:
        raise InvalidInput(f"'most' is a whole number of coins, not {budget.most!r}")
    if budget.per not in (USER, APP):
        raise InvalidInput(f"'per' is 'user' or 'app', not {budget.per!r}")
    if budget.per == APP and isinstance(budget.window, Rolling):
        raise InvalidInput("a budget of the app needs a window with a name, such as 'day'")
    if budget.per == APP and any(budget.shares_row_with(each) for each in before):
        raise InvalidInput("the app has one budget for the same coins and kind of window: keep one")
    return budget
