"""No form is sent for somebody else: the host's Flask-WTF protects them, or a token of our own."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import current_app, request, session
from markupsafe import Markup
from werkzeug.exceptions import BadRequest

from .. import _checks, _words
from .._state import current_state
from ..errors import CoinsError

_FIELD = "coins_csrf"
_KEPT = "_coins_csrf"
_NO_KEY = (
    "The forms of Flask-Coins need a secret: set app.config['SECRET_KEY'], for example to what"
    " python -c 'import secrets; print(secrets.token_hex())' prints."
)


def field() -> Markup:
    """The hidden field that a form must have, as ``coins_csrf()`` in templates.

    :class:`~flask_coins.CoinsError` where the app has no ``SECRET_KEY``.
    """
    if not current_app.secret_key:
        raise CoinsError(_NO_KEY)
    name, token = _FIELD, ""
    if _of_host() is None:
        token = _token(session.setdefault(_KEPT, secrets.token_hex(16)), secrets.token_hex(8))
    else:
        from flask_wtf.csrf import generate_csrf

        name, token = current_app.config["WTF_CSRF_FIELD_NAME"], generate_csrf()
    return Markup('<input type="hidden" name="{}" value="{}">').format(name, token)


def check() -> None:
    """Refuse a form that this session was not given, with status 400, before anything is changed.

    Flask-WTF is asked by name: a blueprint that is exempt, for the sake of an API, opens no page.
    """
    host = _of_host()
    if host is None:
        if not _is_ours(request.form.get(_FIELD, "")):
            raise BadRequest(_reload())
    elif current_app.config["WTF_CSRF_ENABLED"]:
        try:
            host.protect()
        except BadRequest as error:
            error.description = f"{error.description} {_reload()}"
            raise


def _reload() -> str:
    return _words.text("Nothing was changed. Go back, reload the page and send the form once more.")


def _of_host() -> Any:
    """Flask-WTF's ``CSRFProtect`` where it is on the app."""
    found = current_app.extensions.get("csrf")
    return found if "WTF_CSRF_FIELD_NAME" in current_app.config else None


def _is_ours(token: str) -> bool:
    kept, salt = session.get(_KEPT), token.partition(".")[0]
    if not kept or not current_app.secret_key:
        return False
    return hmac.compare_digest(token.encode(), _token(kept, salt).encode())


def _token(kept: str, salt: str) -> str:
    """Bound to the session and to who is logged in; the salt makes each another text.

    So that nobody guesses it from the sizes of compressed pages.
    """
    secret: Any = current_app.secret_key
    key = secret.encode() if isinstance(secret, str) else secret
    said = f"{_KEPT}\0{salt}\0{kept}\0{_who()}"
    return f"{salt}.{hmac.new(key, said.encode(), 'sha256').hexdigest()}"


def _who() -> str:
    user = current_state().current_user()
    return "" if _checks.is_anonymous(user) else _checks.user_id(user)
