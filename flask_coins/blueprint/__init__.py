"""The blueprint: pages and a JSON API of the current user's coins. Nobody reads anybody else's."""

from __future__ import annotations

from flask import Blueprint, Response

from . import (
    _admin,
    _api,
    _csrf,
    _history_csv,
    _layout,
    _leaderboard,
    _problems,
    _toasts,
    _wallet,
)


def make_blueprint() -> Blueprint:
    """A blueprint named ``coins`` with every route of the extension, and its own error handlers."""
    blueprint = _layout.TwiceNamed(
        "coins",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    _api.add_routes(blueprint)
    _wallet.add_routes(blueprint)
    _history_csv.add_routes(blueprint)
    _leaderboard.add_routes(blueprint)
    _admin.add_routes(blueprint)
    _problems.add_handlers(blueprint)
    _layout.add_globals(blueprint)
    _toasts.add_to(blueprint)
    blueprint.add_app_template_global(_csrf.field, "coins_csrf")
    blueprint.after_request(_keep_private)
    return blueprint


def _keep_private(response: Response) -> Response:
    """No shared cache keeps what is the user's, and no page of another site frames it.

    Static files and the API's description may be kept.
    """
    response.headers.setdefault("Cache-Control", "private, no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.headers["Cache-Control"].startswith("private"):
        response.vary.update(("Cookie", "Authorization"))
        response.headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    return response
