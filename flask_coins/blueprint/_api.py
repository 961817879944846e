"""The routes of the JSON API: which paths there are, by which methods, and what else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Blueprint, Response, request, url_for
from werkzeug.exceptions import MethodNotAllowed, NotFound

from .._state import State, current_state
from . import _api_board, _api_moves, _api_reads, _openapi


class Route(NamedTuple):
    """One path below ``/api/``, with a view for each of its methods."""

    endpoint: str
    views: dict[str, Callable[[], Any]]
    is_on: Callable[[State], Any] = lambda state: True
    """Whether the host has turned it on: else there is no such path."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that are answered."""
        return (*self.views, *(("HEAD",) if "GET" in self.views else ()), "OPTIONS")

    def dispatch(self) -> Any:
        """The answer of the view for the method of the request."""
        if not self.is_on(current_state()):
            raise NotFound
        return self.views["GET" if request.method == "HEAD" else request.method]()


def openapi() -> Response:
    """What this app answers, for programs; public, as it tells nothing of anybody."""
    state = current_state()
    root = url_for(f"{request.blueprint}.api_openapi").removesuffix("/openapi.json")
    cookie = state.app.config["SESSION_COOKIE_NAME"]
    paths = [path for path, route in ROUTES.items() if route.is_on(state)]
    return _api_reads.revalidated(_openapi.document(root, cookie, paths), "no-cache")


ROUTES = {
    "balance": Route("api_balance", {"GET": _api_reads.balance}),
    "history": Route("api_history", {"GET": _api_reads.history}),
    "rewards": Route("api_rewards", {"GET": _api_reads.rewards}),
    "leaderboard": Route("api_leaderboard", {"GET": _api_board.leaderboard}),
    "leaderboard/hidden": Route(
        "api_leaderboard_hidden", {"PUT": _api_board.hide, "DELETE": _api_board.show}
    ),
    "prices": Route("api_prices", {"GET": _api_moves.prices}, _api_moves.has_prices),
    "spend": Route("api_spend", {"POST": _api_moves.spend}, _api_moves.has_prices),
    "transfer": Route("api_transfer", {"POST": _api_moves.transfer}, _api_moves.has_recipients),
    "openapi.json": Route("api_openapi", {"GET": openapi}),
}
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")


def add_routes(blueprint: Blueprint) -> None:
    """Put the API on ``blueprint``."""
    for path, route in ROUTES.items():
        # Flask's own answer to OPTIONS would name the methods of the catch-all below, too.
        blueprint.add_url_rule(
            f"/api/{path}",
            route.endpoint,
            route.dispatch,
            methods=list(route.views),
            provide_automatic_options=False,
        )
    # What no route matches belongs to no blueprint, and would get the host's error pages.
    for below in ("/api", "/api/<path:path>"):
        blueprint.add_url_rule(below, "api_other", other, methods=_METHODS, strict_slashes=False)


def other(path: str = "") -> Response:
    """Every request that is none of the above: OPTIONS, another method, or no such path."""
    route = ROUTES.get(path)
    if route is None or not route.is_on(current_state()):
        raise NotFound
    if request.method != "OPTIONS":
        raise MethodNotAllowed(route.allowed)
    return Response(headers={"Allow": ", ".join(route.allowed)})
