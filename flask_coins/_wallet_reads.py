"""What the wallet page reads: a handful of statements, however long a history is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from . import _statements as sql
from . import _wallet_statements as wallet
from ._budgets import APP, Budget, Cap
from ._claims import Claim, Paid
from ._limits import row_of
from ._queries import Reader
from .results import Entry
from .windows import Rolling

_AT_ONCE = 100


class Account(NamedTuple):
    """What a user has of one currency."""

    currency: str
    balance: int
    held: int
    """How much of it is set aside."""

    @property
    def available(self) -> int:
        """What can be spent."""
        return self.balance - self.held


class Line(NamedTuple):
    """One entry of the history."""

    entry: Entry
    undone: tuple[str, str | None] | None
    """The reason and the subject of what a reversal takes back."""


class Look(NamedTuple):
    """One reward and what a payment would claim: what to look for in the log."""

    currency: str
    reason: str
    subject: str
    claim: Claim

    def params(self, number: int) -> dict[str, Any]:
        """What the statement binds for it where it is the one with this ``number``."""
        mine = {"currency": self.currency, "reason": self.reason, "subject": self.subject}
        return {f"r{number}_{k}": v for k, v in {**mine, **sql.claimed(self.claim)}.items()}


class Tracked(NamedTuple):
    """What a streak is counted from."""

    payments: list[tuple[datetime, str | None]]
    freezes: list[datetime]
    """When some were bought, in order."""


class WalletReader(Reader):
    """Reads of one user, each in one statement."""

    def accounts(
        self, session: Session, user_id: str, currency: str, now: datetime
    ) -> tuple[dict[str, Account], list[str]]:
        """What the user has by currency, and for which reasons coins of ``currency`` have moved."""
        params = {"of_user_id": user_id, "of_currency": currency, "now": now}
        accounts: dict[str, Account] = {}
        reasons: list[str] = []
        for name, balance, held in self._rows(session, wallet.ACCOUNTS, params):
            if balance is None:
                reasons.append(name)
            else:
                accounts[name] = Account(name, balance, int(held))
        return accounts, reasons

    def page(
        self, session: Session, user_id: str, currency: str, limit: int, filters: Mapping[str, Any]
    ) -> list[Line]:
        """Up to ``limit`` entries that pass ``filters``, newest first.

        Those nearest to the id ``after`` where that is one of the filters, else the newest.
        """
        params = {"of_user_id": user_id, "of_currency": currency, "limit": limit, **filters}
        rows = self._rows(session, wallet.history(frozenset(filters)), params)
        lines = [_line(row) for row in rows]
        return lines[::-1] if "after" in filters else lines

    def daily(
        self, session: Session, user_id: str, currency: str, starts: Sequence[datetime]
    ) -> list[tuple[int, int]]:
        """How many coins came and went on each day, of which ``starts`` are the beginnings.

        What is behind the last one counts as of the last day.
        """
        params = {f"day_{number}": start for number, start in enumerate(starts)}
        params |= {"of_user_id": user_id, "of_currency": currency}  # type: ignore[dict-item]
        moved = [(0, 0)] * len(starts)
        for day, came, went in self._rows(session, wallet.daily(len(starts)), params):
            moved[day] = (int(came), int(went))
        return moved

    def looked(self, session: Session, user_id: str, looks: Sequence[Look]) -> list[list[Paid]]:
        """The rows that count against each of ``looks``, unlocked: one statement for a hundred."""
        found: list[list[Paid]] = []
        for start in range(0, len(looks), _AT_ONCE):
            found += self._looked(session, user_id, looks[start : start + _AT_ONCE])
        return found

    def _looked(self, session: Session, user_id: str, looks: Sequence[Look]) -> list[list[Paid]]:
        params: dict[str, Any] = {"of_user_id": user_id}
        for number, look in enumerate(looks):
            params |= look.params(number)
        names = tuple(len(look.claim.known_names) for look in looks)
        paid: list[dict[int, Paid]] = [{} for _ in looks]
        for number, *row in self._rows(session, wallet.looks(names), params):
            paid[number][row[0]] = Paid(*row)
        return [list(rows.values()) for rows in paid]

    def used(
        self, session: Session, user_id: str, caps: Sequence[Cap]
    ) -> dict[Cap, list[tuple[datetime, int]]]:
        """What counts against each of ``caps``, unlocked: one statement for a hundred."""
        found: dict[Cap, list[tuple[datetime, int]]] = {cap: [] for cap in caps}
        for start in range(0, len(caps), _AT_ONCE):
            some = caps[start : start + _AT_ONCE]
            params: dict[str, Any] = {"of_user_id": user_id}
            for number, cap in enumerate(some):
                params |= _params_of(cap, number)
            kinds = tuple(_kind_of(cap.budget) for cap in some)
            for number, moment, coins in self._rows(session, wallet.used(kinds), params):
                found[some[number]].append((moment, int(coins)))
        return found

    def tracked(
        self, session: Session, user_id: str, rewards: Sequence[tuple[str, str]], freeze: str
    ) -> list[Tracked]:
        """What the streak of each reward, ``(currency, reason)``, is counted from.

        ``freeze`` is the reason for which freezes are bought. Of payments these are the newest
        ten thousand.
        """
        params = {"of_user_id": user_id, "freeze": freeze, "limit": wallet.MOST_PAYMENTS}
        for number, (currency, reason) in enumerate(rewards):
            params |= {f"r{number}_currency": currency, f"r{number}_reason": reason}
        found = [Tracked([], []) for _ in rewards]
        for number, id_, at, once_key in self._rows(session, wallet.streaks(len(rewards)), params):
            if id_ is None:
                found[number].freezes.append(at)
            else:
                found[number].payments.append((at, once_key))
        for each in found:
            each.freezes.sort()
        return found


def _params_of(cap: Cap, number: int) -> dict[str, Any]:
    names = ("currency", "reason", "period", "start")
    return {
        f"r{number}_{name}": value
        for name, value in zip(names, (*row_of(cap), cap.period.start), strict=True)
    }


def _kind_of(budget: Budget) -> tuple[bool, bool, bool]:
    return budget.per == APP, budget.reason is not None, isinstance(budget.window, Rolling)


def _line(row: Any) -> Line:
    undone = None if row.of is None else (row.of, row.about or None)
    return Line(sql.entry_of(row, "of", "about"), undone)
