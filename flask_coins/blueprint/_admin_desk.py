"""What the admin pages stand on: who may see them, what was asked for, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from functools import partial, wraps
from typing import Any

from flask import Response, abort, make_response, render_template, request
from flask.typing import ResponseReturnValue

from .. import _checks, _leaderboard, _words
from .._admin_reads import AdminReader
from .._state import State
from ..errors import InvalidInput
from ..windows import zone_of
from . import _csrf
from ._pages import signed_in

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Desk:
    """An admin at work: the state of the app, and the admin's own id."""

    state: State
    admin_id: str

    @property
    def reader(self) -> AdminReader:
        """What reads every user's coins."""
        return AdminReader(self.state.table)

    @property
    def zone(self) -> tzinfo:
        """That of the app: its owner reads one calendar, whosever coins it is about."""
        return zone_of(self.state.settings.timezone)

    def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """The names that the host gives, by id; whoever has none is left out."""
        return _leaderboard.names(self.state, user_ids)

    def page(self, template: str, **values: Any) -> str:
        """A page of the folder ``coins/admin``."""
        zone_name = self.state.settings.timezone
        return render_template(
            f"coins/admin/{template}.html",
            zone=self.zone,
            zone_name=zone_name,
            as_json=partial(json.dumps, ensure_ascii=False),
            **values,
        )


def admins(view: Callable[[Desk], ResponseReturnValue]) -> Callable[[], Response]:
    """Let nobody in whom the host's ``admin_check`` does not; a form needs its token, too.

    What cannot be asked for is the host's page for 400, whatever is kept under it.
    """

    @wraps(view)
    def guarded() -> Response:
        state, user_id = signed_in()
        if not state.loaders.is_admin():
            abort(403)
        if request.method == "POST":
            _csrf.check()
        try:
            response = make_response(view(Desk(state, user_id)))
        except InvalidInput as error:
            abort(400, str(error))
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return guarded


def asked_user() -> str:
    """The id that ``?id=`` or a form's field names; no id ends in a space."""
    return _checks.user_id(request.values.get("id", "").rstrip(), forgotten=True)


def asked_currency() -> str:
    """The currency that is asked for."""
    return _checks.currency(request.values.get("currency", "").strip() or "coins")


def asked_reason() -> str | None:
    """The reason that is asked for; None for any."""
    given = request.values.get("reason", "").strip()
    return _checks.reason(given) if given else None


def asked_number(name: str, largest: int = LARGEST_ID) -> int | None:
    """A whole number from 1 to ``largest``; None where there is none."""
    given = request.values.get(name, "").strip()
    if not given:
        return None
    plain = given.isascii() and given.isdigit() and len(given) <= len(str(largest))
    if plain and 1 <= int(given) <= largest:
        return int(given)
    allowed = _words.text("A whole number from 1 to %(largest)s.", largest=_words.amount(largest))
    raise InvalidInput(allowed)


def asked_day(name: str) -> date | None:
    """A day as a browser sends it: ``2026-11-22``."""
    given = request.values.get(name, "").strip()
    if not given:
        return None
    try:
        day = date.fromisoformat(given)
    except ValueError:
        day = date.min
    if not 1000 < day.year < 9997:
        raise InvalidInput(_words.text("A day is written as 2026-11-22."))
    return day


def begin_of(day: date, zone: tzinfo) -> datetime:
    """The first moment of a day in ``zone``."""
    return datetime.combine(day, time(), zone)
