"""Flask-Coins: a reward ledger for Flask, in which coins are paid exactly once."""

from . import signals
from ._decorators import award, award_once, redirected
from ._extension import Coins
from ._models import CoinBalance, CoinEntry
from .errors import (
    CoinsError,
    CoinsRetry,
    CoinsWarning,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    InvalidInput,
    InvalidSubject,
    MissingTablesError,
    NoUserError,
)
from .results import Entry, Outcome, Receipt, Reward

__version__ = "0.1.0"

__all__ = [
    "CoinBalance",
    "CoinEntry",
    "Coins",
    "CoinsError",
    "CoinsRetry",
    "CoinsWarning",
    "Entry",
    "IdempotencyConflict",
    "InsufficientCoins",
    "InvalidAmount",
    "InvalidInput",
    "InvalidSubject",
    "MissingTablesError",
    "NoUserError",
    "Outcome",
    "Receipt",
    "Reward",
    "award",
    "award_once",
    "redirected",
    "signals",
]
