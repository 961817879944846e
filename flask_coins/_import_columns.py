"""The quick way for rows in which all is as it mostly is: a whole column is checked at once.

Where anything needs a closer look, even if nothing is wrong in the end, the rows go through
:meth:`Rows.row` one by one instead: that alone says what may be stored, and what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from operator import lt
from typing import Any

from . import _checks
from ._import_rows import COLUMNS, INT, USUAL, Rows, moment
from ._models import MAX_AMOUNT

Column = Sequence[Any]
KEY = COLUMNS.index("idempotency_key")
_DIGITS = str.maketrans("123456789", "000000000")


class _Unusual(ValueError):
    """Something must be looked at by itself."""


class Columns:
    """Makes what :class:`Rows` would make of many rows with these ``columns``.

    If they are to be ``copied``, moments that are written in UTC stay the texts that they are.
    """

    def __init__(self, rows: Rows, columns: Collection[str], *, copied: bool = False) -> None:
        self.rows = rows
        self.copied = copied
        self.plan = rows.plan
        self.columns = list(columns)
        others = set(columns) - set(rows.names.values())
        self.quick = not rows.own and (not others or self.plan.extra == "ignore")

    def of(self, lines: Sequence[int], values: Sequence[Any]) -> list[Column] | None:
        """The first of ``COLUMNS``, those that a row from elsewhere fills; None if it is unusual."""
        if not self.quick or set(map(type, values)) != {list}:
            return None
        try:
            return self._of(lines, dict(zip(self.columns, zip(*values, strict=True), strict=True)))
        except (ValueError, OverflowError):
            return None

    def _of(self, lines: Sequence[int], found: dict[str, Column]) -> list[Column]:
        nothing = [None] * len(lines)
        fields = {name: found.get(column, nothing) for name, column in self.rows.names.items()}
        return [
            lines,
            lines,
            _user_ids(fields["user_id"]),
            _texts(_filled(fields["currency"], self.plan.currency), 16),
            self._amounts(fields["amount"]),
            _texts(fields["reason"], 64),
            _texts(_ids(_filled(fields["subject"], "")), 128, least=0),
            self._moments(fields["created_at"]),
            [None if each is None else self.rows.details(each) for each in fields["details"]],
            self._keys(lines if self.plan.ids_from_lines else fields["id"]),
        ]

    def _amounts(self, column: Column) -> Column:
        if self.rows.texts:
            _refuse_other_shapes(column, INT)
            column = list(map(int, column))
        if _kind(column) is not int or 0 in column or max(map(abs, column)) > MAX_AMOUNT:
            raise _Unusual
        return column

    def _moments(self, column: Column) -> Column:
        if _kind(column) is not str:
            return self._in_utc(column)
        if column[0].endswith("Z"):  # Python 3.10 does not read it
            column = [each.replace("Z", "+00:00") for each in column]
        _refuse_other_shapes(column, USUAL)
        moments = list(map(datetime.fromisoformat, column))
        found = self._in_utc(moments)
        return column if self.copied and found is moments else found

    def _in_utc(self, column: Column) -> Column:
        if _kind(column) is not datetime:
            raise _Unusual
        if {each.tzinfo for each in column} != {timezone.utc}:
            column = [moment(each, self.plan.zone) for each in column]
        if max(column) > self.rows.latest or min(column).year <= 1000:
            raise _Unusual
        return column

    def _keys(self, column: Column) -> Column:
        prefix = self.plan.prefix
        return [f"{prefix}{each}" for each in _texts(_ids(column), 128 - len(prefix))]


class Keys:
    """Looks at all keys of an import, for a cheap proof that none is there twice."""

    def __init__(self) -> None:
        self.rising = True
        """Whether each was longer than the one before it, or as long and behind it in order."""
        self._last = (0, "")

    def see(self, keys: Column) -> None:
        """Take in the next keys; where any has none, nothing is proved."""
        if None in keys:
            self.rising = False
        if self.rising:
            ranks = [self._last, *zip(map(len, keys), keys, strict=True)]
            self.rising = all(map(lt, ranks, ranks[1:]))
            self._last = ranks[-1]


def _kind(column: Column) -> type:
    """The type of all these values."""
    kinds = set(map(type, column))
    if len(kinds) > 1:
        raise _Unusual
    return kinds.pop()


def _filled(column: Column, value: str) -> Column:
    return [value if each is None else each for each in column] if None in column else column


def _ids(column: Column) -> Column:
    """Integers as texts."""
    return list(map(str, column)) if _kind(column) is int else column


def _user_ids(column: Column) -> Column:
    texts = _texts(_ids(column), 64)
    if _checks.FORGOTTEN in "|".join(texts):
        raise _Unusual
    return texts


def _texts(column: Column, longest: int, *, least: int = 1) -> Column:
    """``column`` if these are plainly texts that every database keeps as they are."""
    if _kind(column) is not str:
        raise _Unusual
    joined = "|".join(column)
    if not joined.isprintable() or " |" in joined or joined.endswith(" "):
        raise _Unusual
    lengths = set(map(len, column))
    if min(lengths) < least or max(lengths) > longest:
        raise _Unusual
    return column


def _refuse_other_shapes(column: Column, shape: re.Pattern[str]) -> None:
    """Go on only if all are texts of a ``shape`` that tells no digit from another."""
    if _kind(column) is not str:
        raise _Unusual
    shapes = set("|".join(column).translate(_DIGITS).split("|"))
    if not all(map(shape.fullmatch, shapes)):
        raise _Unusual
