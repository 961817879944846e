"""Pages for what went wrong, in the layout of all others."""

from flask import Flask, current_app, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException

from flask_coins import InvalidInput

# Not 500: the layout reads the database, and that may be what has failed.
STATUSES = (400, 404, 405, 409)


def init_app(app: Flask) -> None:
    for status in STATUSES:
        app.register_error_handler(status, page)
    app.register_error_handler(InvalidInput, invalid)


def page(error: HTTPException) -> ResponseReturnValue:
    """The page of ``error``, with its headers: a 405 names the methods that are allowed."""
    response = error.get_response()
    response.data = render_template("error.html", error=error)
    return response


def invalid(error: InvalidInput) -> ResponseReturnValue:
    """Flask-Coins refused what a request asked for. Its words are the developer's: log them."""
    current_app.logger.warning("A request was refused: %s", error)
    return page(BadRequest("This page cannot be shown as the address asks for it."))
