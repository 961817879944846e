"""Entries that point at others, such as reversals, when they come in under new ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ._import_checks import Fault
from ._import_staging import Staging
from ._models import log

_CHUNK = 1000
_LINKS = {"reverses_id": "user_id", "transfer_id": "counterparty"}
"""The columns that point at an entry, and whose entry it is."""
_POINT = (
    sa.update(log)
    .where(
        log.c.user_id == sa.bindparam("of_user_id"),
        log.c.idempotency_key == sa.bindparam("of_key"),
    )
    .values(**{name: sa.bindparam(f"new_{name}") for name in _LINKS})
)

_Owned = tuple[str, str]
"""A user's id and an idempotency key."""


def link(connection: sa.Connection, staging: Staging, prefix: str) -> Iterator[Fault]:
    """Point the new entries at those that theirs pointed at; a fault where one is nowhere.

    The other entry is of the same source: it comes in now, or came by an earlier import.
    """
    s = staging.table.c
    linked = sa.or_(*(s[name].is_not(None) for name in _LINKS))
    query = sa.select(staging.table).where(linked, s.known.is_(sa.false())).order_by(s.line)
    last = 0
    while rows := connection.execute(query.where(s.line > last).limit(_CHUNK)).mappings().all():
        targets = _Targets(connection, staging, prefix, rows)
        yield from targets.faults(rows)
        connection.execute(_POINT, [targets.change(row) for row in rows])
        last = rows[-1]["line"]


class _Targets:
    """The entries that some rows point at, under the ids that they have now."""

    def __init__(
        self,
        connection: sa.Connection,
        staging: Staging,
        prefix: str,
        rows: Sequence[sa.RowMapping],
    ) -> None:
        self.prefix = prefix
        s = staging.table.c
        places = {row[name] for row in rows for name in _LINKS if row[name] is not None}
        columns = (s.place, s.user_id, s.idempotency_key, s.known)
        staged = connection.execute(sa.select(*columns).where(s.place.in_(places))).all()
        self.owned: dict[int, _Owned] = {place: (user, key) for place, user, key, _ in staged}
        self.there = {place for place, _, _, known in staged if known}
        keys = [self._owned(row, name) for row in rows for name in _LINKS if row[name] is not None]
        self.ids = _ids(connection, keys)

    def _owned(self, row: sa.RowMapping, name: str) -> _Owned:
        place = row[name]
        return self.owned.get(place) or (row[_LINKS[name]] or "", f"{self.prefix}{place}")

    def id(self, row: sa.RowMapping, name: str) -> int | None:
        """The id that column ``name`` of ``row`` becomes, or None."""
        place: int | None = row[name]
        if place is None:
            return None
        # One without a key was recognised by its id, which it still has.
        return self.ids.get(self._owned(row, name)) or (place if place in self.there else None)

    def faults(self, rows: Iterable[sa.RowMapping]) -> Iterator[Fault]:
        """Rows that point at what is nowhere."""
        for row in rows:
            for name in _LINKS:
                if row[name] is not None and self.id(row, name) is None:
                    what = f"its {name} is {row[name]}, which is not in the source."
                    yield Fault(row["line"], row["idempotency_key"], what)

    def change(self, row: sa.RowMapping) -> dict[str, Any]:
        """What the entry that came of ``row`` is to be told."""
        owner = {"of_user_id": row["user_id"], "of_key": row["idempotency_key"]}
        return owner | {f"new_{name}": self.id(row, name) for name in _LINKS}


def _ids(connection: sa.Connection, keys: Sequence[_Owned]) -> dict[_Owned, int]:
    pairs = sa.tuple_(log.c.user_id, log.c.idempotency_key)
    query = sa.select(log.c.user_id, log.c.idempotency_key, log.c.id).where(pairs.in_(keys))
    return {(user, key): entry for user, key, entry in connection.execute(query)}
