"""Errors as RFC 9457 problems, for the requests of the API alone; pages get the host's pages."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product, takewhile
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, current_app, json, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.http import HTTP_STATUS_CODES

from .._logs import fields, nameless
from ..errors import CoinsError, CoinsRetry, InsufficientCoins, MissingTablesError, NoUserError

_NOT_READY = {
    MissingTablesError: (503, "missing_tables"),
    CoinsRetry: (503, "busy"),
    NoUserError: (500, "no_user_loader"),
}
_IN_THE_LOG = "The app is not set up for this; its log says what is missing."


class Problem(Exception):
    """What went wrong: a status, a ``code`` for programs, a sentence and further members."""

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, status: int, code: str, detail: str | None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.members = {"code": code, "detail": detail, **members}


def add_handlers(blueprint: Blueprint) -> None:
    """Have every error of the API's requests answered by a problem."""
    blueprint.register_error_handler(Problem, _answer)
    blueprint.register_error_handler(CoinsError, _not_ready)
    blueprint.register_error_handler(InsufficientCoins, _short)
    blueprint.register_error_handler(Exception, _crash)
    blueprint.register_error_handler(HTTPException, _http_error)
    for code in default_exceptions:
        # One by one: an app's handler for a code comes before a blueprint's for HTTPException.
        blueprint.register_error_handler(code, _http_error)


def _answer(problem: Problem) -> Response:
    response = Response(status=problem.status, headers=problem.headers)
    return _filled(response, problem.members)


def _short(error: InsufficientCoins) -> ResponseReturnValue:
    if not _is_api():
        return _page_error(error)
    figures = {"balance": error.balance, "amount": error.amount, "currency": error.currency}
    return _answer(Problem(402, "insufficient_coins", error.description, **figures))


def _not_ready(error: CoinsError) -> ResponseReturnValue:
    """The app is not set up, or its database is not: the app's log has the traceback.

    What lies in the code of the host is told to developers only; it may show a user object.
    """
    if not _is_api():
        return _by_host(error, BaseException)
    status, code = _NOT_READY.get(type(error), (500, "not_set_up"))
    current_app.logger.error(
        "Flask-Coins cannot answer: %s",
        error,
        exc_info=nameless(error),
        extra=fields("cannot_answer", outcome=code),
    )
    told = status != 500 or current_app.debug or current_app.testing
    problem = Problem(status, code, str(error) if told else _IN_THE_LOG)
    if isinstance(error, CoinsRetry):
        problem.headers = {"Retry-After": "1"}
    return _answer(problem)


def _crash(error: Exception) -> ResponseReturnValue:
    """Keep a crash from the host's handler of every Exception, but not from one of its own kind."""
    return _by_host(error, Exception if _is_api() else BaseException)


def _by_host(error: Exception, but: type[BaseException]) -> ResponseReturnValue:
    """What the host's handler says of ``error``, unless it is one for ``but`` or more than that.

    Without one it is raised again, an unhandled one: Flask logs or propagates it, and then comes a
    500.
    """
    # In Flask's own order, of which ours are left out.
    codes = (error.code, None) if isinstance(error, HTTPException) else (None,)
    for code, name in product(codes, (*request.blueprints, None)):
        handlers = current_app.error_handler_spec[name][code]
        for kind in takewhile(lambda kind: kind is not but, type(error).__mro__):
            handler = handlers.get(kind)
            if handler is not None and handler.__module__ != __name__:
                return current_app.ensure_sync(handler)(error)  # type: ignore[no-any-return]
    raise error


def _http_error(error: HTTPException) -> ResponseReturnValue:
    """An error of HTTP itself, with headers such as Retry-After, or the response it was given."""
    if error.response is not None:
        return error.get_response()
    if not _is_api():
        return _page_error(error)
    response = Response(status=error.code, headers=error.get_headers())
    code = error.name.lower().replace(" ", "_")
    return _filled(response, {"code": code, "detail": error.description})


def _filled(response: Response, members: dict[str, Any]) -> Response:
    title = HTTP_STATUS_CODES.get(response.status_code, "Unknown Error")
    head = {"type": "about:blank", "title": title, "status": response.status_code}
    response.data = json.dumps(head | members)
    response.content_type = "application/problem+json"
    return response


def _page_error(error: HTTPException) -> ResponseReturnValue:
    """The host's page for ``error``, else the plain one that Flask would answer."""
    try:
        return _by_host(error, BaseException)
    except HTTPException as unhandled:
        return unhandled.get_response(request.environ)


def _is_api() -> bool:
    return (request.endpoint or "").rpartition(".")[2].startswith("api_")
