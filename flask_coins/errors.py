"""Every error that Flask-Coins raises of its own accord.

The docstring of a class is its message when none is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header


class CoinsError(Exception):
    """Something about coins went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class InvalidInput(CoinsError, ValueError):
    """An argument cannot be stored as it is. Nothing was written."""


class InvalidAmount(InvalidInput):
    """An amount, and a balance, is an int up to 999,999,999,999,999; an amount is at least 1."""


class InvalidSubject(InvalidInput):
    """A subject is a str, int, UUID or a saved, mapped object. Nothing was written."""


class NoUserError(CoinsError):
    """There is no user to move coins for. Nothing was written."""


class IdempotencyConflict(CoinsError):
    """This idempotency key already belongs to another movement of the same user."""


class MissingTablesError(CoinsError):
    """The coin tables are missing or behind: run 'flask db upgrade'."""


class CoinsRetry(CoinsError):
    """The database gave this transaction up (a lock, a deadlock, a lost race): repeat it whole.

    The session has been rolled back, the host's part of the transaction included.
    """


class InsufficientCoins(CoinsError, HTTPException):
    """The balance, without what holds keep, is smaller than the amount. Nothing was written.

    Also an HTTP error: left alone in a view, it answers 402 Payment Required.
    """

    code = 402

    def __init__(self, balance: int = 0, amount: int = 0, currency: str = "coins") -> None:
        #: What can be spent, in units of ``currency``.
        self.balance = balance
        #: What was asked for.
        self.amount = amount
        self.currency = currency
        message = f"{amount} {currency} are needed, {balance} are there."
        HTTPException.__init__(self, description=message)
        self.args = (message,)

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        """Those of a problem (RFC 9457), or of a page for whom HTML suits better."""
        if _prefers_html(environ):
            return list(super().get_headers(environ, scope))
        return [("Content-Type", "application/problem+json")]

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        """A problem with ``balance``, ``amount`` and ``currency``, or a page."""
        if _prefers_html(environ):
            return str(super().get_body(environ, scope))
        problem = {
            "type": "about:blank",
            "title": self.name,
            "status": self.code,
            "code": "insufficient_coins",
            "detail": self.description,
            "balance": self.balance,
            "amount": self.amount,
            "currency": self.currency,
        }
        return json.dumps(problem)

    def __str__(self) -> str:
        return str(self.description)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.balance, self.amount, self.currency)


def _prefers_html(environ: Mapping[str, Any] | None) -> bool:
    accepts = parse_accept_header((environ or {}).get("HTTP_ACCEPT"), MIMEAccept)
    offered = ["application/problem+json", "application/json", "text/html"]
    return accepts.best_match(offered) == "text/html"


class HoldClosed(CoinsError):
    """This hold has been captured or released already. Nothing was written."""


class HoldExpired(HoldClosed):
    """This hold has expired: its coins are free again. Nothing was written."""


class CoinsWarning(UserWarning):
    """Something is set up in a way that is hardly meant."""
