"""What forms have in common."""

import secrets

from flask import request


def new_key() -> str:
    """A key for a form that moves coins: sent twice, they are moved once."""
    return secrets.token_urlsafe(12)


def sent_key() -> str:
    """The key of the form that was sent."""
    return request.form["key"]
