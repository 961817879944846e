"""What a call answers: the :class:`Receipt`, its :class:`Outcome` and the log's :class:`Entry`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
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
class Reward:
    """One reward of the catalogue, as it stands for one user."""

    reason: str
    amount: int | None
    """None where a view decides it."""
    currency: str
    window: str | None
    """Spelled out, such as ``"day"``; None: pays each time."""
    limit: int
    subject: str | None
    state: str
    """``"open"``, ``"paid"``, ``"not_open"``, ``"excluded"``, or ``"varies"`` with a view's subject."""
    opens_at: datetime | None = None
    """Aware UTC: when a reward that is not open pays next; None: never, or not known."""
    times: int = 0
    """How often it was paid in the present window, up to ``limit``."""
