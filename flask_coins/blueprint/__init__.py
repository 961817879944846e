"""The blueprint: pages and a JSON API of the current user's coins. Nobody reads anybody else's."""

from __future__ import annotations

from flask import Blueprint, Response

from . import _api, _csrf, _problems


def make_blueprint() -> Blueprint:
    """A blueprint named ``coins`` with every route of the extension, and its own error handlers."""
    blueprint = Blueprint(
        "coins",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    _api.add_routes(blueprint)
    _problems.add_handlers(blueprint)
    blueprint.add_app_template_global(_csrf.field, "coins_csrf")
    blueprint.after_request(_keep_private)
    return blueprint


def _keep_private(response: Response) -> Response:
    response.headers["Cache-Control"] = "private, no-store"
    return response
