"""What a call answers: the :class:`Receipt`, its :class:`Outcome` and the log's :class:`Entry`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


class Outcome(str, enum.Enum):
    """How a call ended. The values are used in JSON, in the response header and by signals."""

    AWARDED = "awarded"
    """Coins were paid."""
    SPENT = "spent"
    """Coins were taken."""
    ALREADY = "already"
    """The window has been paid already."""
    REPLAYED = "replayed"
    """The idempotency key was used before, for this same movement."""
    NOT_OPEN = "not_open"
    """The moment lies outside a ``Between``."""
    NOT_EARNED = "not_earned"
    """The method, the status, ``when`` or an exception of the view said no."""
    NOTHING_DUE = "nothing_due"
    """What is due is worth less than a coin."""
    EXCLUDED = "excluded"
    """``eligible_check`` said no."""
    ANONYMOUS = "anonymous"
    """Nobody is logged in."""
    CAPPED = "capped"
    """A budget has less left than is due; ``left`` says how much."""
    FAILED = "failed"
    """An error was logged and the view's answer delivered all the same."""

    def __str__(self) -> str:
        return self.value


MOVED = (Outcome.AWARDED, Outcome.SPENT)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the coin log, as it was written."""

    id: int
    user_id: str
    currency: str
    amount: int
    """Signed: positive for an award, negative for a spend."""
    balance_after: int
    reason: str
    subject: str | None
    created_at: datetime
    """Aware, UTC, with microseconds."""
    reverses_id: int | None = None
    """For a reversal, the id of the entry that it takes back."""
    details: Any = None
    counterparty: str | None = None
    """For a transfer, the other user's id."""
    transfer_id: int | None = None
    """For the recipient's part of a transfer, the id of the sender's entry."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one call. It is true when coins moved."""

    outcome: Outcome
    reason: str
    amount: int = 0
    """That of ``entry``, signed; 0 where there is none."""
    balance: int | None = None
    """After the call; None for a refusal that was made without a look at the database."""
    entry: Entry | None = None
    """For ``REPLAYED`` the first one."""
    next_at: datetime | None = None
    """Aware UTC: the first instant from now at which the same ``award_once`` would pay.

    None: never, not known, or a call without a window.
    """
    subject: str | None = None
    currency: str = "coins"
    left: int | None = None
    """For ``CAPPED``: how many coins the budget that has least would still pay."""

    def __bool__(self) -> bool:
        return self.outcome in MOVED


@dataclass(frozen=True, slots=True)
class Hold:
    """Coins that are set aside: nobody else can take them, until it is closed or expires."""

    id: int
    user_id: str
    currency: str
    amount: int
    reason: str
    subject: str | None
    status: str
    """``"open"``, ``"captured"``, ``"released"`` or ``"expired"``."""
    created_at: datetime
    """Aware, UTC, with microseconds."""
    expires_at: datetime | None
    """Aware UTC: from then on it counts no more, whatever its status. None: it does not expire."""
    entry_id: int | None = None
    """The entry of the log that captured it."""
    details: Any = None


@dataclass(frozen=True, slots=True)
class Streak:
    """How many periods in a row somebody was paid for, frozen ones not counted."""

    length: int
    """Up to now; a period that is not over yet breaks nothing."""
    longest: int
    """The longest there ever was."""
    paid: bool
    """Whether the present period is paid already."""
    freezes: int
    """Bought ones that are left."""
    frozen: int
    """How many missed periods freezes bridge in the present streak."""
    ends_at: datetime | None
    """Aware UTC: when it breaks, freezes counted, if nothing is paid until then; None: it is 0."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands on a leaderboard."""

    rank: int
    """From 1; those with the same score share one, and the next is as many lower."""
    user_id: str
    score: int
    """Coins that were paid, less what was taken back of them; above 0."""
    name: str | None = None
    """From the ``user_names_loader``; None: it gave none, or there is none."""


@dataclass(frozen=True, slots=True)
class Flows:
    """How many coins moved, and how; all figures are above or equal to 0."""

    minted: int = 0
    """Paid."""
    burned: int = 0
    """Spent, captured holds too."""
    taken_back: int = 0
    """Of payments, by reversals."""
    given_back: int = 0
    """Of spends, by reversals."""
    transferred: int = 0
    """Sent from user to user; transfers that were taken back are not taken off."""

    @property
    def net(self) -> int:
        """By how much the coins in circulation grew; below 0 they became fewer."""
        return self.minted - self.taken_back - self.burned + self.given_back


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFlows(Flows):
    """What moved on one day."""

    day: date
    """Of the calendar of ``COINS_TIMEZONE``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFlows(Flows):
    """What moved for one reason; reversals count for the reason of what they reverse."""

    reason: str
    payments: int
    """How many entries minted."""


@dataclass(frozen=True, slots=True)
class Concentration:
    """How unevenly the coins are spread over those who have any."""

    gini: float
    """The Gini coefficient of their balances: 0 where all have the same, near 1 where one has all."""
    top_1_percent: float
    """The part of all coins, 0 to 1, that the richest hundredth holds, rounded up to one holder."""
    top_10: float
    """The part that the ten richest hold."""


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What a budget of the app has paid in its present window."""

    reason: str | None
    """None: all reasons together."""
    window: str
    """Spelled out, such as ``"day"``."""
    minted: int
    most: int
    start: datetime
    """Aware UTC; and so is ``end``."""
    end: datetime


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of an economy, in units of one currency: what moved in a period, and what is."""

    currency: str
    since: datetime | None
    """Aware UTC: the first instant of the period; None: from the beginning."""
    until: datetime | None
    """Aware UTC: the first instant behind it; None: it has no end."""
    total: Flows
    """What moved in the period."""
    days: tuple[DayFlows, ...]
    """The same by day, in order; days on which nothing moved are left out."""
    reasons: tuple[ReasonFlows, ...]
    """The same by reason, without transfers: the hundred that moved most, the largest first."""
    top_earners: tuple[Place, ...]
    """The ten who were paid most in the period, also those who are hidden from leaderboards."""
    in_circulation: int
    """The sum of all balances now."""
    held: int
    """What of that open holds set aside."""
    holders: int
    """How many users have any."""
    concentration: Concentration | None
    """None where nobody has any."""
    budgets: tuple[BudgetUse, ...]
    """The app's budgets that are open now."""


@dataclass(frozen=True, slots=True)
class Reward:
    """One reward of the catalogue, as it stands for one user."""

    reason: str
    amount: int | None
    """None where a view decides it: see ``amounts``."""
    currency: str
    window: str | None
    """Spelled out, such as ``"day"``; None: pays each time."""
    limit: int
    subject: str | None
    state: str
    """``"open"``, ``"paid"``, ``"not_open"``, ``"capped"`` where a budget has too little left,
    ``"excluded"``, or ``"varies"`` with a view's subject."""
    opens_at: datetime | None = None
    """Aware UTC: when a reward that is not open pays next; None: never, or not known."""
    times: int = 0
    """How often it was paid in the present window, up to ``limit``."""
    left: int | None = None
    """Where it is capped: how many coins the budget that has least would still pay."""
    amounts: tuple[int, ...] = ()
    """What a view may decide on, in order, as far as the rule says it."""
