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
from .results import Entry, Hold, Outcome, Place, Receipt, Reward, Streak

__version__ = "0.2.0"

__all__ = [
    "CoinBalance",
    "CoinBudget",
    "CoinEntry",
    "CoinHidden",
    "CoinHold",
    "Coins",
    "CoinsError",
    "CoinsRetry",
    "CoinsWarning",
    "Entry",
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
    "Receipt",
    "Reward",
    "Streak",
    "award",
    "award_once",
    "charge",
    "redirected",
    "signals",
]
