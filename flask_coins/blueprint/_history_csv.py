"""``GET …/history.csv``: the current user's own entries, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from flask import Blueprint, Response, abort, request, stream_with_context

from .. import _export, _output, _words
from .._state import State
from .._wallet_reads import WalletReader
from ..results import Entry
from . import _filters, _layout
from ._filters import Filters
from ._pages import signed_in

_CHUNK = 1000
_COLUMNS = ("id", "created_at", "reason", "words", "subject", "amount", "balance_after", "currency")


def add_routes(blueprint: Blueprint) -> None:
    """Put the download on ``blueprint``."""
    blueprint.add_url_rule("/history.csv", "history_csv", history_csv)


def history_csv() -> Response:
    """All entries that the filters of the wallet page leave, newest first; else status 400."""
    state, user_id = signed_in()
    filters = _filters.read(request.args, state.zone(user_id))
    if filters.errors:
        abort(400, " ".join(filters.errors))
    lines = stream_with_context(_lines(state, user_id, filters))
    response = Response(lines, mimetype="text/csv")
    name = f"{filters.currency}-{state.now().astimezone(filters.zone):%Y-%m-%d}.csv"
    return _layout.attach(response, name)


def _lines(state: State, user_id: str, filters: Filters) -> Iterator[str]:
    """A few lines at a time. The mark at the beginning tells a spreadsheet that it is UTF-8."""
    out = io.StringIO("\ufeff")
    out.seek(1)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entries in _pages(state, user_id, filters):
        writer.writerows(_cells(entry, filters) for entry in entries)
        yield out.getvalue()
        out.seek(out.truncate(0))
    yield out.getvalue()


def _pages(state: State, user_id: str, filters: Filters) -> Iterator[Sequence[Entry]]:
    """From the newest to the oldest: no cursor is open while somebody is slow."""
    reader, where = WalletReader(state.table), {**filters.conditions}
    where.pop("after", None)
    while lines := reader.page(state.session, user_id, filters.currency, _CHUNK, where):
        yield [line.entry for line in lines]
        where["before"] = lines[-1].entry.id


def _cells(entry: Entry, filters: Filters) -> Iterator[object]:
    """What the wallet shows too, with the time on the user's own clock."""
    row = _output.entry_json(entry) | {
        "created_at": entry.created_at.astimezone(filters.zone).isoformat(),
        "words": _words.reason(entry.reason, entry.subject),
    }
    return (_export.harmless(row[name]) for name in _COLUMNS)
