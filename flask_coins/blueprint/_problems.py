"""Errors as RFC 9457 problems, for the requests of the blueprint alone."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, json
from werkzeug.exceptions import HTTPException, default_exceptions

from ..errors import CoinsError, CoinsRetry, MissingTablesError, NoUserError

_NOT_READY = {
    MissingTablesError: (503, "missing_tables"),
    CoinsRetry: (503, "busy"),
    NoUserError: (500, "no_user_loader"),
}


class Problem(Exception):
    """What went wrong: a status, a ``code`` for programs, a sentence and further members."""

    def __init__(self, status: int, code: str, detail: str | None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.members = {"code": code, "detail": detail, **members}


def add_handlers(blueprint: Blueprint) -> None:
    """Have every error of the blueprint's requests answered by a problem."""
    blueprint.register_error_handler(Problem, _answer)
    blueprint.register_error_handler(CoinsError, _not_ready)
    for code in default_exceptions:
        # One by one: an app's handler for a code comes before a blueprint's for HTTPException.
        blueprint.register_error_handler(code, _http_error)


def _answer(problem: Problem) -> Response:
    response = Response(status=problem.status)
    return _filled(response, problem.members)


def _not_ready(error: CoinsError) -> Response:
    """The app is not set up, or its database is not: the app's log has the traceback."""
    status, code = _NOT_READY.get(type(error), (500, "not_set_up"))
    current_app.logger.error("Flask-Coins cannot answer: %s", error, exc_info=error)
    return _answer(Problem(status, code, str(error)))


def _http_error(error: HTTPException) -> Response:
    """An error of HTTP itself, with headers such as Retry-After."""
    response = Response(status=error.code, headers=error.get_headers())
    code = error.name.lower().replace(" ", "_")
    return _filled(response, {"code": code, "detail": error.description})


def _filled(response: Response, members: dict[str, Any]) -> Response:
    title = HTTPStatus(response.status_code).phrase
    head = {"type": "about:blank", "title": title, "status": response.status_code}
    response.data = json.dumps(head | members)
    response.content_type = "application/problem+json"
    return response
