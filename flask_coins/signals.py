"""Signals, sent after the outermost commit of the session and never for what it rolled back.

The sender is the app; each receiver gets ``receipt`` (a :class:`~flask_coins.Receipt`) and
``user_id`` (text, or None for nobody). A receiver that raises is logged and never undoes a payment.
"""

from __future__ import annotations

from blinker import NamedSignal, Namespace
from flask import Flask

from .results import Outcome, Receipt

_signals = Namespace()

coins_awarded: NamedSignal = _signals.signal("coins-awarded", "Coins were paid.")
coins_spent: NamedSignal = _signals.signal("coins-spent", "Coins were taken.")
award_refused: NamedSignal = _signals.signal(
    "award-refused", "A payment was refused; receipt.outcome says why."
)


def send(app: Flask, receipt: Receipt, user_id: str | None) -> None:
    """Tell every receiver of the signal that fits ``receipt``; log those that raise."""
    if receipt.outcome is Outcome.REPLAYED:
        return
    signal = award_refused
    if receipt:
        signal = coins_spent if receipt.outcome is Outcome.SPENT else coins_awarded
    if not signal.receivers:
        return
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, receipt=receipt, user_id=user_id)
        except Exception:
            app.logger.exception("A receiver of %s failed", signal.name)
