"""What comes with a request to the API, checked: who asks, parameters, bodies and keys."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from flask import json, request

from .. import _checks
from .._state import State, current_state
from ..errors import InvalidInput
from ._problems import Problem

LARGEST_ID = 2**63 - 1
LARGEST_BODY = 16_384
"""In bytes."""
# A String of RFC 9651, or one without its quotes; a comma is where two such headers were joined.
_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-+\--:<-\[\]-~]{1,255})')
_KEY_IS = 'a String of RFC 9651, such as "8e03978e-40d5", of 1 to 255 characters of ASCII'


def current() -> tuple[State, str]:
    """The state of the app and the current user's id; a problem where nobody is logged in."""
    state = current_state()
    user = state.current_user()
    if _checks.is_anonymous(user):
        raise Problem(401, "anonymous", "Nobody is logged in.")
    return state, _checks.user_id(user)


def changing() -> tuple[State, str]:
    """The same for a request that changes something: not one that another site's page has sent.

    Browsers send no such request to another site unless that has allowed it (CORS): none of them is
    one that a form can make. This is the second lock, for a host that allows too much.
    """
    if request.cookies and _is_cross_site():
        raise Problem(403, "cross_site", "A page of another site has sent this.")
    return current()


def _is_cross_site() -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "cross-site"
    return origin is not None and origin.partition("://")[2] != request.host


# -- parameters -----------------------------------------------------------------------------------


def number(name: str, largest: int) -> int | None:
    """A parameter from 1 to ``largest``; None where it is not given."""
    given = request.args.get(name)
    if given is None:
        return None
    # int() is slow for very long texts, and takes other digits than these.
    plain = re.fullmatch("[1-9][0-9]*", given) and len(given) <= len(str(largest))
    if not plain or int(given) > largest:
        raise invalid(name, f"{name} is a whole number from 1 to {largest}.")
    return int(given)


def choice(name: str, allowed: Collection[str], default: str) -> str:
    """A parameter that is one of ``allowed``."""
    given = request.args.get(name, default)
    if given not in allowed:
        raise invalid(name, f"{name} is one of {', '.join(allowed)}.")
    return given


def currency() -> str:
    """The parameter of that name."""
    try:
        return _checks.currency(request.args.get("currency", "coins"))
    except InvalidInput as error:
        raise invalid("currency", str(error)) from error


def invalid(name: str, allowed: str) -> Problem:
    """That the parameter or member ``name`` cannot be as it is."""
    return Problem(400, "invalid_parameter", allowed, parameter=name)


# -- bodies ---------------------------------------------------------------------------------------


def body(needed: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """The request's JSON object: it has all members that are ``needed``, and none that is unknown."""
    if request.mimetype != "application/json":
        raise Problem(415, "unsupported_media_type", "The body is application/json.")
    found = _parsed()
    if not isinstance(found, dict):
        raise Problem(400, "invalid_json", "The body is no JSON object.")
    for name in found:
        if name not in (*needed, *optional):
            raise invalid(_printable(name), f"The members are {', '.join((*needed, *optional))}.")
    for name in needed:
        if name not in found:
            raise invalid(name, f"{name} is missing.")
    return found


def _printable(name: str) -> str:
    """Of a client's making: cut short, and no half of a surrogate pair, which is no UTF-8."""
    return name[:80].encode(errors="replace").decode()


def _parsed() -> Any:
    if request.content_length is None:
        raise Problem(411, "length_required", "The request says its Content-Length.")
    if request.content_length > LARGEST_BODY:
        raise Problem(413, "content_too_large", f"A body has at most {LARGEST_BODY} bytes.")
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", "The body is no JSON.") from error


# -- keys -----------------------------------------------------------------------------------------


def idempotency_key() -> str:
    """The header ``Idempotency-Key`` as it is kept: under a name that no key of the host's has."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        raise Problem(400, "idempotency_key_missing", f"Idempotency-Key is {_KEY_IS}.")
    match = _KEY.fullmatch(given)
    if match is None:
        raise Problem(400, "invalid_idempotency_key", f"Idempotency-Key is {_KEY_IS}.")
    # Escapes may stay: they are in quoted ones alone, each in one way.
    key = match[1] or match[2]
    return f"api:{sha256(key.encode()).hexdigest()}"
