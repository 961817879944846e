"""Reads of an economy's figures, through a session: a bounded number of statements, whatever has moved."""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from . import _stats_statements as sql
from ._budgets import Cap
from ._limits import row_of
from ._queries import Reader
from .results import BudgetUse, Concentration, DayFlows, ReasonFlows
from .windows import Period

_REASONS = 100


def _params(currency: str, period: Period | None) -> dict[str, Any]:
    bounds = {"start": period.start, "end": period.end} if period else {}
    return {"of_currency": currency, **bounds}


class Activity(NamedTuple):
    """What moved in a stretch of time, transfers and reversals left out."""

    minted: int = 0
    burned: int = 0
    users: int = 0
    """How many were paid or have spent."""


class StatsReader(Reader):
    """What moved, and what is there."""

    def days(
        self, session: Session, currency: str, period: Period | None, zone: tzinfo
    ) -> tuple[DayFlows, ...]:
        """What moved on each day of the calendar in ``zone``."""
        params, timed = _params(currency, period), period is not None
        first, last = self._rows(session, sql.ends(timed), params)[0]
        if first is None:
            return ()
        calendar = sql.stretches(first, last, zone)
        dialect = session.get_bind(clause=self.table).dialect.name
        rows = self._rows(session, sql.by_day(calendar, timed, dialect), params)
        return tuple(DayFlows(day=date.fromordinal(int(row[0])), **_numbers(row)) for row in rows)

    def compared(
        self, session: Session, currency: str, before: Period, since: datetime
    ) -> tuple[Activity, Activity]:
        """What moved in a period, and what has moved from ``since`` on, which lies behind it."""
        bounds = {"start": before.start, "until": before.end, "end": since}
        rows = self._rows(session, sql.COMPARED, {"of_currency": currency, **bounds})
        found = {int(row[0]): Activity(*map(int, row[1:])) for row in rows}
        return found.get(0, Activity()), found.get(1, Activity())

    def reasons(
        self, session: Session, currency: str, period: Period | None
    ) -> tuple[ReasonFlows, ...]:
        """What moved for each reason, as far as they are not too many."""
        params = {**_params(currency, period), "limit": _REASONS}
        rows = self._rows(session, sql.by_reason(period is not None), params)
        return tuple(ReasonFlows(reason=row[0], **_numbers(row)) for row in rows)

    def stock(self, session: Session, currency: str) -> tuple[int, int, int, Concentration | None]:
        """The coins in circulation, those held, how many have some, and how they are spread."""
        (row,) = self._rows(session, sql.STOCK, {"of_currency": currency})
        if not row.holders:
            return 0, 0, 0, None
        holders, total = int(row.holders), int(row.balance)
        spread = Concentration(
            2 * float(row.weighted) / (holders * total) - (holders + 1) / holders,
            int(row.top_1_percent) / total,
            int(row.top_10) / total,
        )
        return total, int(row.held), holders, spread

    def budgets(self, session: Session, currency: str, caps: list[Cap]) -> tuple[BudgetUse, ...]:
        """What each of the app's budgets has paid in its window."""
        if not caps:
            return ()
        params = {"of_currency": currency, "periods": [row_of(cap)[2] for cap in caps]}
        rows = self._rows(session, sql.BUDGETS, params)
        minted = {(reason, period): int(coins) for reason, period, coins in rows}
        return tuple(_use_of(cap, minted.get(row_of(cap)[1:], 0)) for cap in caps)


def _numbers(row: Any) -> dict[str, int]:
    """The columns behind the first, by name; sums are decimals on some engines."""
    return {name: int(value) for name, value in list(row._mapping.items())[1:]}


def _use_of(cap: Cap, minted: int) -> BudgetUse:
    budget, period = cap.budget, cap.period
    return BudgetUse(
        budget.reason, str(budget.window), minted, budget.most, period.start, period.end
    )
