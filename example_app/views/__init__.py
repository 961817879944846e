"""The pages."""

from flask import Flask, Response, current_app, flash, g
from flask_login import current_user

from flask_coins import Outcome, Receipt

from ..zones import zone_names
from . import (
    auth,
    bosses,
    errors,
    exams,
    forms,
    friends,
    goals,
    health,
    home,
    menu,
    paragraphs,
    shop,
    streaks,
    wording,
)
from .wording import local_time, words

PAGES = (auth, bosses, exams, friends, goals, health, home, paragraphs, shop, streaks)
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def init_app(app: Flask) -> None:
    for module in PAGES:
        app.register_blueprint(module.bp)
    app.before_request(require_key)
    app.after_request(flash_refusals)
    app.after_request(harden)
    app.add_template_global(zone_names)
    app.add_template_global(forms.new_key)
    app.add_template_global(menu.menu)
    errors.init_app(app)
    wording.init_app(app)


def require_key() -> None:
    """Serve nothing where logins could not be told from forged ones."""
    if not current_app.secret_key:
        raise RuntimeError("Set SECRET_KEY; on your own computer, FLASK_DEBUG=1 does without.")


def harden(response: Response) -> Response:
    """Scripts, styles and pictures come from this host alone, and never from within a page."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def flash_refusals(response: Response) -> Response:
    """Tell on the next page why something was not paid; what was paid flies in by itself."""
    if response.location:
        for receipt in g.get("coins_receipts", ()):
            if message := refusal(receipt):
                flash(message, receipt.outcome)
    return response


def refusal(receipt: Receipt) -> str | None:
    """The message for a receipt; None for what the user need not know."""
    if receipt.outcome is Outcome.ALREADY and receipt.next_at:
        return f"{words(receipt.reason)} is paid; again from {local_time(receipt.next_at)}."
    # A receipt may be another user's, an inviter's for one.
    if receipt.outcome is Outcome.EXCLUDED and not current_user.may("earn_coins"):
        return "Your account is not paid in coins."
    return None
