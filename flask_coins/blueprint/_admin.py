"""The pages of those who look after the economy; only the host's ``admin_check`` opens them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, redirect, request, stream_with_context
from flask.typing import ResponseReturnValue

from .. import _export
from .._export import Selection
from ..results import Entry
from . import _admin_moves
from ._admin_desk import (
    Desk,
    admins,
    asked_currency,
    asked_day,
    asked_number,
    asked_reason,
    asked_user,
    begin_of,
)
from ._admin_overview import overview
from ._layout import attach, url

_PAGE = 50


def add_routes(blueprint: Blueprint) -> None:
    """Put the admin pages on ``blueprint``."""
    pages = {"": overview, "user": user, "adjustments": adjustments, "entries.csv": entries_csv}
    for path, view in pages.items():
        name = f"admin_{view.__name__}"
        blueprint.add_url_rule(f"/admin/{path}", name, view)
    _admin_moves.add_routes(blueprint)


@admins
def user(desk: Desk) -> ResponseReturnValue:
    """One user's accounts, holds and entries: ``?id=``, as exactly as it is kept."""
    if not request.args.get("id", "").strip():
        return redirect(url("admin_overview"))
    chosen, before = _selection(desk), asked_number("before")
    reader, session, user_id = desk.reader, desk.state.session, asked_user()
    found = reader.entries(session, chosen, _PAGE + 1, before)
    entries = found[:_PAGE]
    return desk.page(
        "user",
        chosen=chosen,
        accounts=reader.accounts(session, user_id),
        holds=reader.open_holds(session, user_id, desk.state.now()),
        entries=entries,
        taken_back=reader.taken_back(session, [entry.id for entry in entries]),
        names=desk.names([user_id, *_others(entries)]),
        next=entries[-1].id if len(found) > _PAGE else None,
        **_just_done(desk, user_id),
    )


def _just_done(desk: Desk, user_id: str) -> dict[str, Any]:
    """What an admin's form has led to, as the tables have it, whoever wrote the address."""
    done, released = asked_number("done"), asked_number("released")
    entry = desk.reader.entry(desk.state.session, done) if done else None
    hold = desk.reader.hold(desk.state.session, released) if released else None
    return {
        "done": entry if entry and entry.user_id == user_id else None,
        "released": hold if hold and hold.user_id == user_id and hold.status != "open" else None,
    }


@admins
def adjustments(desk: Desk) -> ResponseReturnValue:
    """What admins have done to anybody's coins, newest first."""
    reason, before = desk.state.settings.adjustment_reason, asked_number("before")
    found = desk.reader.for_reason(desk.state.session, reason, _PAGE, before)
    names = desk.names(entry.user_id for entry in found.entries)
    return desk.page("adjustments", found=found, names=names)


@admins
def entries_csv(desk: Desk) -> ResponseReturnValue:
    """The chosen entries for a spreadsheet: of one user, or of everybody in a stretch of time."""
    chosen = _selection(desk)
    response = Response(stream_with_context(_lines(desk, chosen)), mimetype="text/csv")
    name = f"coins-{chosen.user_id or 'all'}-{desk.state.now():%Y-%m-%d}.csv"
    return attach(response, name)


def _lines(desk: Desk, chosen: Selection) -> Iterator[str]:
    """A few lines at a time. The mark at the beginning tells a spreadsheet that it is UTF-8."""
    out = io.StringIO("\ufeff")
    out.seek(1)
    write = _export.rows_to_csv(out, for_spreadsheets=True)
    yield out.getvalue()
    for rows in desk.reader.chunks(desk.state.session, chosen):
        out.seek(out.truncate(0))
        for row in rows:
            write(row)
        yield out.getvalue()


def _selection(desk: Desk) -> Selection:
    """Which entries are asked for; both days count whole."""
    since, until = asked_day("since"), asked_day("until")
    chosen = Selection(
        user_id=asked_user() if request.args.get("id", "").strip() else None,
        currency=asked_currency(),
        reason=asked_reason(),
    )
    if since is not None:
        chosen = replace(chosen, since=begin_of(since, desk.zone))
    if until is not None:
        chosen = replace(chosen, until=begin_of(until + timedelta(days=1), desk.zone))
    return chosen


def _others(entries: list[Entry]) -> list[str]:
    return [entry.counterparty for entry in entries if entry.counterparty is not None]
