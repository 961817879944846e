"""A coin flies in: what was just paid, on the page that is made, or on the next one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from flask import Blueprint, Response, current_app, g, request, session

from .. import _checks, _rewards, _words
from .._state import State, current_state
from ..errors import NoUserError
from ..results import Receipt

MOST = 3
"""So many toasts are shown at once; those before them become one that counts them."""
KEPT = 5
"""So many wait in a session."""
ROOM = 1500
"""So many characters they may have: a browser drops a cookie above 4,093 bytes, a login in it too."""
_SESSION = "_coins_toasts"
_LOOKED = "_coins_toasts_looked"
# Among them is one of each plural form that a language may have.
_SAMPLES = (1, 2, 3, 5, 11, 100, 0)


class Toast(NamedTuple):
    """What one toast says."""

    reason: str
    subject: str | None
    amount: int
    currency: str


class Toasts(NamedTuple):
    """What a page is to show."""

    shown: list[Toast]
    more: int
    """How many came before these."""


def add_to(blueprint: Blueprint) -> None:
    """Keep the receipts of redirects, and give the templates what ``coins_toast()`` asks for."""
    blueprint.after_app_request(_keep)
    blueprint.add_app_template_global(toasts, "coins_toasts")
    blueprint.add_app_template_global(reasons, "coins_toast_reasons")
    blueprint.add_app_template_global(forms, "coins_toast_forms")


def toasts() -> Toasts:
    """What waits in the session for the current user, then what this request has moved.

    To htmx the latter is told by the header of its response alone.
    """
    state, receipts = current_state(), _receipts()
    setattr(g, _LOOKED, len(receipts))
    user_id = _user_id(state)
    found, more = _waiting(user_id) if _SESSION in session else ([], 0)
    if "HX-Request" not in request.headers:
        found += _of(user_id, receipts)
    if _SESSION in session:
        del session[_SESSION]
    return Toasts(found[-MOST:], more + len(found[:-MOST]))


def _keep(response: Response) -> Response:
    """Let what was moved wait for the next page, where this response cannot show it.

    That is a redirect, or a page that was made before its view was paid.
    """
    late = _LOOKED in g and "HX-Request" not in request.headers
    if not late and not 300 <= response.status_code < 400:
        return response
    receipts = _receipts()[g.get(_LOOKED, 0) :]
    if any(receipts) and _has_session():
        state = current_state()
        user_id = _user_id(state) if state.settings.toasts else None
        if user_id and (moved := _of(user_id, receipts)):
            before, more = _waiting(user_id)
            found = [*before, *moved]
            kept = _fitting(found[-KEPT:])
            more += len(found) - len(kept)
            session[_SESSION] = [user_id, more, *map(list, kept)]
    return response


def _fitting(toasts: list[Toast]) -> list[Toast]:
    """The last of them that a session has room for."""
    sizes = accumulate(len(json.dumps(each)) for each in reversed(toasts))
    number = sum(size <= ROOM for size in sizes)
    return toasts[len(toasts) - number :]


def _receipts() -> list[Receipt]:
    receipts: list[Receipt] = g.get("coins_receipts", [])
    return receipts


def _has_session() -> bool:
    return not current_app.session_interface.is_null_session(session._get_current_object())  # type: ignore[attr-defined]


def _waiting(user_id: str | None) -> tuple[list[Toast], int]:
    """What the session keeps for this user, and how many came before that."""
    owner, more, *kept = session.get(_SESSION, (None, 0))
    return ([Toast(*each) for each in kept], more) if owner == user_id else ([], 0)


def _of(user_id: str | None, receipts: Iterable[Receipt]) -> list[Toast]:
    """The toasts of movements of this user, and of nobody else's."""
    return [
        Toast(receipt.reason, receipt.subject, receipt.amount, receipt.currency)
        for receipt in receipts
        if receipt and receipt.entry and receipt.entry.user_id == user_id
    ]


def _user_id(state: State) -> str | None:
    try:
        user = state.current_user()
    except NoUserError:
        return None
    return None if _checks.is_anonymous(user) else _checks.user_id(user)


def reasons() -> dict[str, str]:
    """The words for the rewards of the app, where they are not those that the script finds itself."""
    names = {rule.reason for rule in _rewards.rules_of(current_state())}
    words = {name: _words.reason(name) for name in sorted(names)}
    return {name: told for name, told in words.items() if told != _plain(name)}


def _plain(name: str) -> str:
    spaced = name.replace("_", " ")
    return spaced[:1].upper() + spaced[1:]


def forms() -> dict[str, str]:
    """A number for each plural form of "coins", and the form: ``{"1": "# coin", "2": "# coins"}``."""
    found: dict[str, str] = {}
    for number in _SAMPLES:
        form = _words.plural("%(num)s coin", "%(num)s coins", number, num="#")
        found.setdefault(form, str(number))
    return {number: form for form, number in found.items()}
