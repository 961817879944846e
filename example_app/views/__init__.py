"""The pages."""

from flask import Flask, Response, flash, g
from flask_login import current_user

from flask_coins import Outcome, Receipt

from ..zones import zone_names
from . import auth, bosses, errors, exams, goals, home, paragraphs, wording
from .wording import local_time, words


def init_app(app: Flask) -> None:
    for module in (auth, bosses, exams, goals, home, paragraphs):
        app.register_blueprint(module.bp)
    app.after_request(flash_receipts)
    app.add_template_global(zone_names)
    errors.init_app(app)
    wording.init_app(app)


def flash_receipts(response: Response) -> Response:
    """Tell on the next page what was paid by this request, and why something was not."""
    if response.location:
        for receipt in g.get("coins_receipts", ()):
            if message := describe(receipt):
                flash(message, receipt.outcome)
    return response


def describe(receipt: Receipt) -> str | None:
    """The message for a receipt; None for what the user need not know."""
    if receipt.entry and receipt.entry.user_id == current_user.get_id():
        return f"+{receipt.amount} coins: {words(receipt.reason)}"
    if receipt.outcome is Outcome.ALREADY and receipt.next_at:
        return f"{words(receipt.reason)} is paid; again from {local_time(receipt.next_at)}."
    # A receipt may be another user's, an inviter's for one.
    if receipt.outcome is Outcome.EXCLUDED and not current_user.may("earn_coins"):
        return "Your account is not paid in coins."
    return None
