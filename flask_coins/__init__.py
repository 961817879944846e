"""Flask-Coins: a reward ledger for Flask, in which coins are paid exactly once."""

from . import signals
from ._charges import charge
from ._decorators import award, award_once, redirected
from ._extension import Coins
from ._models import CoinBalance, CoinBudget, CoinEntry, CoinHidden, CoinHold
from .errors import (
    CoinsError,
    CoinsRetry,
    CoinsWarning,
    HoldClosed,
    HoldExpired,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    InvalidInput,
    InvalidSubject,
    MissingTablesError,
    NoUserError,
)
from .results import (
    BudgetUse,
    Concentration,
    DayFlows,
    Entry,
    Flows,
    Hold,
    Outcome,
    Place,
    ReasonFlows,
    Receipt,
    Reward,
    Stats,
    Streak,
)

__version__ = "0.3.0"

__all__ = [
    "BudgetUse",
    "CoinBalance",
    "CoinBudget",
    "CoinEntry",
    "CoinHidden",
    "CoinHold",
    "Coins",
    "CoinsError",
    "CoinsRetry",
    "CoinsWarning",
    "Concentration",
    "DayFlows",
    "Entry",
    "Flows",
    "Hold",
    "HoldClosed",
    "HoldExpired",
    "IdempotencyConflict",
    "InsufficientCoins",
    "InvalidAmount",
    "InvalidInput",
    "InvalidSubject",
    "MissingTablesError",
    "NoUserError",
    "Outcome",
    "Place",
    "ReasonFlows",
    "Receipt",
    "Reward",
    "Stats",
    "Streak",
    "award",
    "award_once",
    "charge",
    "redirected",
    "signals",
]
