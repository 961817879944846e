"""Pages for what went wrong, in the layout of all others."""

from flask import Flask, current_app, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, Conflict, HTTPException

from flask_coins import IdempotencyConflict, InsufficientCoins, InvalidInput

# Not 500: the layout reads the database, and that may be what has failed.
STATUSES = (400, 401, 403, 404, 405, 409)


def init_app(app: Flask) -> None:
    for status in STATUSES:
        app.register_error_handler(status, page)
    app.register_error_handler(InvalidInput, invalid)
    app.register_error_handler(InsufficientCoins, short)
    app.register_error_handler(IdempotencyConflict, sent_before)


def page(error: HTTPException) -> ResponseReturnValue:
    """The page of ``error``, with its headers: a 405 names the methods that are allowed."""
    response = error.get_response()
    response.data = render_template("error.html", error=error)
    return response


def invalid(error: InvalidInput) -> ResponseReturnValue:
    """Flask-Coins refused what a request asked for. Its words are the developer's: log them."""
    current_app.logger.warning("A request was refused: %s", error)
    return page(BadRequest("This page cannot be shown as the address asks for it."))


def short(error: InsufficientCoins) -> ResponseReturnValue:
    """402: what is needed, and what is there."""
    return render_template("short.html", error=error), 402


def sent_before(error: IdempotencyConflict) -> ResponseReturnValue:
    """A form's key came back with something else in the form."""
    return page(Conflict("This form was sent before. Load its page again, then fill it in anew."))
