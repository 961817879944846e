"""Signals, sent after the outermost commit of the session and never for what it rolled back.

The sender is the app; each receiver gets ``receipt`` (a :class:`~flask_coins.Receipt`) and
``user_id`` (text, or None for nobody). A receiver that raises is logged and never undoes a payment;
one that is a coroutine function is logged and not run.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ._faults import roll_back
from ._logs import fields, nameless
from ._session import has_work
from .results import Outcome, Receipt

_NOT_RUN = "The receiver %r of %s is a coroutine function and was not run: connect a plain one."
_signals = Namespace()

coins_awarded: NamedSignal = _signals.signal("coins-awarded", "Coins were paid.")
coins_spent: NamedSignal = _signals.signal("coins-spent", "Coins were taken.")
award_refused: NamedSignal = _signals.signal(
    "award-refused", "A payment was refused; receipt.outcome says why."
)


def send(app: Flask, receipt: Receipt, user_id: str | None) -> None:
    """Tell every receiver of the signal that fits ``receipt``; log those that raise.

    A receiver that failed in the database is rolled back, unless the session held changes before.
    """
    if receipt.outcome is Outcome.REPLAYED:
        return
    signal = award_refused
    if receipt:
        signal = coins_spent if receipt.outcome is Outcome.SPENT else coins_awarded
    if signal.is_muted or not signal.receivers:
        return
    state = app.extensions["coins"]
    for receiver in signal.receivers_for(app):
        at_stake = has_work(state.open_session())
        try:
            answer = receiver(app, receipt=receipt, user_id=user_id)
        except Exception as error:
            app.logger.exception(
                "A receiver of %s failed",
                signal.name,
                exc_info=nameless(error),
                extra=_told_of(receipt, "receiver_failed"),
            )
            if not at_stake:
                _restore(state.open_session(), error)
        else:
            if iscoroutine(answer):
                answer.close()
                extra = _told_of(receipt, "receiver_not_run")
                app.logger.error(_NOT_RUN, receiver, signal.name, extra=extra)


def _told_of(receipt: Receipt, event: str) -> dict[str, Any]:
    outcome = str(receipt.outcome)
    return fields(event, reason=receipt.reason, currency=receipt.currency, outcome=outcome)


def _restore(session: Session | None, error: Exception) -> None:
    """Make the session usable again where ``error`` has spoilt its transaction."""
    if session is not None and (isinstance(error, DBAPIError) or not session.is_active):
        roll_back(session)
