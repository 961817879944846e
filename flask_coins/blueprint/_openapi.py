"""The description of the API as OpenAPI 3.1: by the app's prefix, and by what it has turned on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._openapi_paths import PATHS
from ._openapi_schemas import PROBLEMS, SCHEMAS

_INFO = {
    "title": "Coins",
    "version": "1",
    "description": "The current user's coins, nobody else's. Errors are problems of RFC 9457.",
}
_LOGIN = "However the app logs people in: by its session, unless it says else."


def document(root: str, cookie: str, paths: Iterable[str]) -> dict[str, Any]:
    """The document of an API at the URL ``root`` that has ``paths``; ``cookie`` is the session's."""
    session = {"type": "apiKey", "in": "cookie", "name": cookie, "description": _LOGIN}
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": root}],
        "security": [{"session": []}],
        "paths": {f"/{path}": PATHS[path] for path in paths},
        "components": {
            "schemas": SCHEMAS,
            "responses": PROBLEMS,
            "securitySchemes": {"session": session},
        },
    }
