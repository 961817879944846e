"""Whether a payment fits into the budgets: looked at first, and settled under the locks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import _statements as sql
from ._budgets import APP, Cap, Shortage
from .results import Outcome, Receipt
from .windows import Rolling

if TYPE_CHECKING:
    from ._writes import Write


class Limits:
    """The caps of one payment.

    What a user was paid is summed up from the log, under the lock of the user's balance. What the
    app has paid stands in one row for each budget and window: it is locked last, so all payments
    that count against it wait for one another from there to their commit.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        caps = write.movement.caps
        self._own = [cap for cap in caps if cap.budget.per != APP]
        self.shared = sorted((cap for cap in caps if cap.budget.per == APP), key=row_of)
        """Those that all users share, in the order of their locks."""
        self._there: set[tuple[str, str, str]] = set()
        """Whose rows the look has found."""

    def refusal(self, again: bool = False) -> Receipt | None:
        """The answer where the payment does not fit, as far as can be seen; else None.

        The second time, ``again``, the balance is locked and has moved since the first.
        """
        paid = [(cap, self._paid(cap, again)) for cap in self._own]
        paid += [] if again else [(cap, self._minted(cap)) for cap in self.shared]
        amount = self._write.movement.amount
        short = [it for cap, rows in paid if (it := cap.shortage(amount, rows))]
        return self._capped(*short) if short else None

    def mint(self) -> Receipt | None:
        """Count the payment against what all share; where it does not fit, nothing is counted."""
        taken: list[Cap] = []
        for cap in self.shared:
            if not self._take(cap):
                for each in taken:
                    self._write.connection.execute(sql.UNMINT, self._row(each))
                rows = self._minted(cap, now=True)
                left = cap.budget.most - sum(coins for _, coins in rows)
                opens_at = cap.opens_at(self._write.movement.amount, rows)
                return self._capped(Shortage(max(left, 0), opens_at))
            taken.append(cap)
        return None

    def _capped(self, *short: Shortage) -> Receipt:
        left, opens_at = Shortage.of_all(short)
        return self._write.movement.receipt(
            Outcome.CAPPED, balance=self._write.before.balance, left=left, next_at=opens_at
        )

    def _paid(self, cap: Cap, again: bool) -> list[tuple[datetime, int]]:
        """When the user was paid how much in the window; of a calendar's only the sum is asked."""
        write, of_reason = self._write, cap.budget.reason is not None
        each = isinstance(cap.budget.window, Rolling)
        params = write.params | {"start": cap.period.start}
        if not (again and write.mysql):
            return _pairs(write.connection.execute(sql.minted(of_reason, each), params))
        params = write.since_seen() | {"start": cap.period.start}
        seen = write.connection.execute(sql.minted(of_reason, each, seen=True), params)
        newer = write.connection.execute(sql.minted_since(of_reason), params)
        return _pairs(seen) + _pairs(newer)

    def _row(self, cap: Cap) -> dict[str, Any]:
        currency, reason, period = row_of(cap)
        names = {"budget_currency": currency, "budget_reason": reason, "budget_period": period}
        return self._write.params | names | {"most": cap.budget.most}

    def _minted(self, cap: Cap, now: bool = False) -> list[tuple[datetime, int]]:
        """What the app has paid; ``now``: as it is committed, where a snapshot may be older."""
        look = sql.BUDGET_NOW if now and self._write.mysql else sql.BUDGET
        found = self._write.connection.scalar(look, self._row(cap))
        if found is not None:
            self._there.add(row_of(cap))
        return [(cap.period.start, found or 0)]

    def _take(self, cap: Cap) -> bool:
        """Count the payment if it fits; the row is locked either way.

        A row that is not there is made first: on MariaDB an UPDATE that finds none would lock the
        gap, and two that did would be a deadlock.
        """
        connection, row = self._write.connection, self._row(cap)
        if row_of(cap) not in self._there:
            connection.execute(sql.open_budget(connection.dialect.name), row)
        return bool(connection.execute(sql.MINT, row).rowcount)


def row_of(cap: Cap) -> tuple[str, str, str]:
    """Currency, reason and period of the row that a budget of the app is counted in."""
    return cap.budget.currency, cap.budget.reason or "", str(cap.period.label)


def _pairs(rows: Any) -> list[tuple[datetime, int]]:
    return [(moment, int(coins)) for moment, coins in rows]
