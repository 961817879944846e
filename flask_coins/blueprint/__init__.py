"""The JSON API of the current user's coins."""

from __future__ import annotations

from flask import Blueprint


def make_blueprint() -> Blueprint:
    """A blueprint named ``coins`` with every route of the extension."""
    return Blueprint("coins", __name__)
