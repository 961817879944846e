"""What every call must answer, in plain Python: no SQL, no windows but days of UTC, no code of ours."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

REFUSED = "InsufficientCoins"
CONFLICT = "IdempotencyConflict"
BUDGET = 40
"""How many coins the reason ``capped`` pays to each user a day."""


@dataclass
class Entry:
    id: int
    user: str
    amount: int
    reason: str
    at: datetime
    key: str | None = None
    reverses: int | None = None
    other: str | None = None
    """The other user of a transfer."""
    leg: int | None = None
    """The other entry of a transfer."""

    @property
    def pays(self) -> bool:
        return self.amount > 0 and self.reverses is None and self.other is None


@dataclass
class Hold:
    user: str
    amount: int
    until: datetime | None
    status: str = "open"
    captured: int = 0


@dataclass
class Ledger:
    """The books as they should be. Calls answer with an outcome, or with the error's name."""

    entries: list[Entry] = field(default_factory=list)
    holds: dict[int, Hold] = field(default_factory=dict)

    def copied(self) -> Ledger:
        return copy.deepcopy(self)

    def balance(self, user: str) -> int:
        return sum(it.amount for it in self.entries if it.user == user)

    def available(self, user: str, now: datetime) -> int:
        held = sum(
            it.amount
            for it in self.holds.values()
            if it.user == user and it.status == "open" and (it.until is None or it.until > now)
        )
        return self.balance(user) - held

    def find(self, number: int) -> Entry:
        return next(it for it in self.entries if it.id == number)

    def left_of(self, entry: Entry) -> int:
        undone = sum(abs(it.amount) for it in self.entries if it.reverses == entry.id)
        return abs(entry.amount) - undone

    def _of_key(self, user: str, key: str | None) -> Entry | None:
        if key is None:
            return None
        return next((it for it in self.entries if (it.user, it.key) == (user, key)), None)

    def _over_budget(self, user: str, amount: int, reason: str, now: datetime) -> bool:
        today = [
            it.amount
            for it in self.entries
            if it.user == user and it.pays and it.reason == reason and it.at.date() == now.date()
        ]
        return reason == "capped" and sum(today) + amount > BUDGET

    # Each of these says how a call must end; ``add`` is called by the test with the ids it was given.

    def award(self, user: str, amount: int, reason: str, now: datetime, key: str | None) -> str:
        if first := self._of_key(user, key):
            same = (first.amount, first.reason) == (amount, reason) and first.pays
            return "replayed" if same else CONFLICT
        return "capped" if self._over_budget(user, amount, reason, now) else "awarded"

    def award_once(
        self,
        user: str,
        amount: int,
        reason: str,
        now: datetime,
        window: str | timedelta,
        limit: int,
    ) -> str:
        rows = [it for it in self.entries if it.user == user and it.reason == reason and it.pays]
        if window == "day":
            rows = [it for it in rows if it.at.date() == now.date()]
        elif isinstance(window, timedelta):
            rows = [it for it in rows if it.at > now - window]
        if len(rows) >= limit:
            return "already"
        return "capped" if self._over_budget(user, amount, reason, now) else "awarded"

    def spend(self, user: str, amount: int, reason: str, now: datetime, key: str | None) -> str:
        if first := self._of_key(user, key):
            same = (first.amount, first.reason) == (-amount, reason)
            return "replayed" if same and not first.reverses and not first.other else CONFLICT
        return "spent" if self.available(user, now) >= amount else REFUSED

    def transfer(
        self, sender: str, recipient: str, amount: int, now: datetime, key: str | None
    ) -> str:
        if first := self._of_key(sender, key):
            same = (first.amount, first.reason) == (-amount, "transfer")
            return "replayed" if same and first.other == recipient else CONFLICT
        return "spent" if self.available(sender, now) >= amount else REFUSED

    def reverse(self, entry: Entry, amount: int | None, now: datetime) -> str:
        if entry.reverses is not None:
            return "InvalidInput"
        left = self.left_of(entry)
        if left == 0:
            return "already"
        if amount is not None and amount > left:
            return "InvalidAmount"
        taken = left if amount is None else amount
        giver = entry
        if entry.leg is not None and entry.amount < 0:
            giver = self.find(entry.leg)
        if giver.amount > 0 and self.available(giver.user, now) < taken:
            return REFUSED
        return "spent" if entry.amount > 0 else "awarded"

    def hold(self, user: str, amount: int, now: datetime) -> str:
        return "open" if self.available(user, now) >= amount else REFUSED

    def capture(self, hold: Hold, amount: int | None, now: datetime) -> str:
        taken = hold.amount if amount is None else amount
        if hold.status == "expired" or (
            hold.status == "open" and hold.until is not None and hold.until <= now
        ):
            return "HoldExpired"
        if hold.status == "released":
            return "HoldClosed"
        if taken > hold.amount:
            return "InvalidAmount"
        if hold.status == "captured":
            return "replayed" if hold.captured == taken else "HoldClosed"
        return "spent"

    def release(self, hold: Hold, now: datetime) -> str:
        if hold.status == "captured":
            return "HoldClosed"
        return hold.status if hold.status != "open" else "released"

    def add(self, entry: Any, key: str | None = None) -> Entry:
        """Take over an entry that a call has written."""
        mine = Entry(
            entry.id,
            entry.user_id,
            entry.amount,
            entry.reason,
            entry.created_at,
            key,
            entry.reverses_id,
            entry.counterparty,
        )
        self.entries.append(mine)
        return mine
