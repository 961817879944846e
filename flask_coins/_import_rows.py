"""What a row of another system becomes: every value checked, before any SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from . import _checks
from ._models import MAX_AMOUNT, log
from .errors import InvalidAmount, InvalidInput

FIELDS = ("id", "user_id", "amount", "reason", "created_at", "currency", "subject", "details")
"""What can be read from any source."""
NEEDED = ("user_id", "amount", "reason", "created_at")
_OPTIONAL = ("id", "currency", "subject", "details")
EXPORTED = tuple(column.name for column in log.columns)
"""What an export of ours has: from a source with all of these, nothing is left out."""
EXTRAS = ("refuse", "ignore", "details")
"""What can be done with other columns."""

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
INT = re.compile(r"-?[0-9]{1,18}")
"""An amount in a text."""
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,]([0-9]{1,9}))?"
    r" ?(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)?)?"
)
USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?(?:[+-][0-9]{2}:[0-9]{2})?"
)
"""What every Python reads by itself, and alike."""
_SKEW = timedelta(minutes=5)
"""How far another machine's clock may be ahead."""
_BIGGEST = 2**63 - 1
_SHORT = 80
"""How long the id of a row may be whatever the source is called."""


class Row(NamedTuple):
    """A row that is ready for the log, but for its balance."""

    line: int
    """Where it stands in its source."""
    place: int
    """Where it stands among the entries of one moment; in an export of ours, its id there."""
    user_id: str
    currency: str
    amount: int
    reason: str
    subject: str
    created_at: datetime
    details: Any
    idempotency_key: str | None
    balance_after: int | None = None
    once_key: str | None = None
    reverses_id: int | None = None
    counterparty: str | None = None
    transfer_id: int | None = None


COLUMNS = tuple(Row.__annotations__)
_Plain = tuple[str, str, int, str, str, datetime, Any]
"""User, currency, amount, reason, subject, moment and details of a row."""


@dataclass(frozen=True)
class Plan:
    """How a source is to be read; checked where it is made."""

    now: datetime
    source: str | None = None
    """The name of the source: with it, each row's id becomes its idempotency key."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The names that our fields have there, where they differ."""
    extra: str = "refuse"
    ids_from_lines: bool = False
    currency: str = "coins"
    zone: tzinfo = timezone.utc

    def __post_init__(self) -> None:
        _checks.currency(self.currency)
        if self.source is not None and not _NAME.fullmatch(self.source):
            raise InvalidInput(
                "The name of a source has 1 to 40 letters, digits, dots, hyphens or underscores,"
                f" not {_checks.shown(self.source)}."
            )
        unknown = set(self.columns) - set(FIELDS)
        if unknown:
            raise InvalidInput(
                f"There is no field {min(unknown)!r} to map; there are {', '.join(FIELDS)}."
            )
        if self.extra not in EXTRAS:
            raise InvalidInput(f"Other columns are {', '.join(EXTRAS)}, not {self.extra!r}.")

    @property
    def prefix(self) -> str:
        """What the idempotency keys of the source's rows begin with."""
        return f"import:{self.source}:"


class Rows:
    """Makes :class:`Row` of the values that a source of these ``columns`` gives.

    ``texts`` says that every value is a text, as in CSV, and ``json_texts`` that details are JSON
    within one.
    """

    def __init__(
        self, plan: Plan, columns: Collection[str], *, texts: bool, json_texts: bool
    ) -> None:
        self.plan = plan
        self.columns = list(columns)
        self.texts = texts
        self.json_texts = json_texts
        self.own = set(EXPORTED) <= set(columns) and not plan.columns
        """Whether it is an export of ours."""
        self.names = {name: self._column(name, columns) for name in self._fields()}
        self._blank: dict[str, Any] = dict.fromkeys(self.names.values())
        self._needed = [self.names[name] for name in NEEDED]
        self._picked = itemgetter(*self._needed, *(self.names[name] for name in _OPTIONAL))
        self._prefix = plan.prefix
        self.latest = plan.now + _SKEW
        """No row may be of a later time."""
        self._user = _remembering(self._user_id)
        self._coins = _remembering(self._amount)
        self._reason = _remembering(_checks.reason)
        self._subject = _remembering(_checks.subject)
        self._currency = _remembering(_checks.currency)
        self._refuse_shape(columns)

    def _fields(self) -> tuple[str, ...]:
        return EXPORTED if self.own else FIELDS

    def _column(self, name: str, columns: Collection[str]) -> str:
        short = "user" if name == "user_id" and name not in columns else name
        return self.plan.columns.get(name, short)

    def _refuse_shape(self, columns: Collection[str]) -> None:
        for name in (*NEEDED, *self.plan.columns):
            if self.names[name] not in columns:
                raise InvalidInput(
                    f"The source has no column {self.names[name]!r}; it has"
                    f" {', '.join(map(str, columns))}. Map another with --map"
                    f" {name.removesuffix('_id')}=COLUMN."
                )
        if self.plan.source is None:
            if not self.own:
                raise InvalidInput(
                    "Name the source with --source NAME: then each row is imported once, however"
                    " often the import is run."
                )
        elif not (self.names["id"] in columns or self.plan.ids_from_lines):
            raise InvalidInput(
                f"The source has no column {self.names['id']!r} by which rows are known again. Map"
                " one with --map id=COLUMN; or say --ids-from-lines, if rows are only ever appended"
                " to the file."
            )

    def row(self, line: int, values: list[Any] | dict[str, Any]) -> Row:
        """The row; InvalidInput says what is wrong with it."""
        if isinstance(values, list):
            values = dict(zip(self.columns, values, strict=True))
        merged = self._blank | values
        user, coins, why, when, own, currency, subject, details = self._picked(merged)
        if user is None or coins is None or why is None or when is None:
            raise InvalidInput(f"it has no {next(n for n in self._needed if merged[n] is None)}.")
        if details is not None:
            details = self.details(details)
        if len(merged) > len(self._blank):
            details = self._with_extra(details, values)
        row = (
            self._user(user),
            self.plan.currency if currency is None else self._currency(currency),
            self._coins(coins),
            self._reason(why),
            "" if subject is None or subject == "" else self._subject(subject),
            self._moment(when),
            details,
        )
        if self.own:
            return self._as_it_was(line, row, merged)
        return Row(line, line, *row, self._key(line if self.plan.ids_from_lines else own))

    def _as_it_was(self, line: int, row: _Plain, values: dict[str, Any]) -> Row:
        """An entry of ours keeps what it has; one without a key gets one, if there is a source."""
        place = self._int(values.get("id"), "id", 1)
        key = _checks.idempotency_key(values.get("idempotency_key"))
        return Row(
            line,
            place,
            *row,
            self._key(place) if key is None and self.plan.source else key,
            self._int(values.get("balance_after"), "balance_after", 0),
            _text_or_none(values.get("once_key"), "once_key"),
            self._link(values, "reverses_id"),
            _text_or_none(values.get("counterparty"), "counterparty"),
            self._link(values, "transfer_id"),
        )

    def _key(self, own: Any) -> str:
        if type(own) is str and own.isalnum() and len(own) <= _SHORT:
            return f"{self._prefix}{own}"  # the many, of which nothing is to be checked
        if own is None:
            raise InvalidInput(f"it has no {self.names['id']}.")
        if not isinstance(own, str | int) or isinstance(own, bool):
            raise InvalidInput(f"its id is a text or an integer, not {_checks.shown(own)}.")
        return _checks.text(f"{self._prefix}{own}", "The key that is made of its id", 128)

    def _user_id(self, value: Any) -> str:
        if self.own:
            return _checks.text(value, "A user id", 64)
        if isinstance(value, int | str) and not isinstance(value, bool):
            return _checks.user_id(value)
        raise InvalidInput(f"a user id is an integer or a text, not {_checks.shown(value)}.")

    def _amount(self, value: Any) -> int:
        coins = self._whole(value)
        if coins is None or coins == 0 or abs(coins) > MAX_AMOUNT:
            raise InvalidAmount(
                f"an amount is a whole number from 1 to {MAX_AMOUNT:,}, or from -1 down to"
                f" -{MAX_AMOUNT:,}, not {_checks.shown(value)}."
            )
        return coins

    def _whole(self, value: Any) -> int | None:
        if type(value) is int:
            return value
        if isinstance(value, str):
            return int(value) if self.texts and INT.fullmatch(value) else None
        if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
            return int(value)
        return None

    def _int(self, value: Any, name: str, least: int) -> int:
        """An integer of our own: JSON has ids as texts."""
        number = int(value) if isinstance(value, str) and INT.fullmatch(value) else value
        if type(number) is not int or not least <= number <= _BIGGEST:
            raise InvalidInput(
                f"its {name} is an integer from {least}, not {_checks.shown(value)}."
            )
        return number

    def _link(self, values: dict[str, Any], name: str) -> int | None:
        value = values.get(name)
        return None if value is None else self._int(value, name, 1)

    def details(self, value: Any) -> Any:
        """The checked details of a row that has some."""
        if self.json_texts and isinstance(value, str):
            try:
                value = strict_json(value)
            except (ValueError, RecursionError) as error:
                raise InvalidInput(f"its details are not JSON: {error}.") from error
        return _checks.details(value)

    def _moment(self, value: Any) -> datetime:
        when = moment(value, self.plan.zone)
        if when > self.latest:
            raise InvalidInput(f"{_checks.shown(value)} lies in the future.")
        return when

    def _with_extra(self, details: Any, values: dict[str, Any]) -> Any:
        """``details``, and perhaps the columns that are not known."""
        extra = sorted(name for name in values if name not in self._blank)
        if self.plan.extra == "ignore":
            return details
        if self.plan.extra == "refuse":
            raise InvalidInput(
                f"the column {extra[0]!r} is unknown: map it with --map, or say --extra ignore or"
                " --extra details."
            )
        if details is not None and not isinstance(details, dict):
            raise InvalidInput("its details are no object that other columns could be put into.")
        if "imported" in (details or {}):
            raise InvalidInput("its details have 'imported' already, where other columns would go.")
        return {**(details or {}), "imported": {name: _plain(values[name]) for name in extra}}


def _remembering(check: Callable[[Any], T]) -> Callable[[Any], T]:
    """``check``, for texts of which the same come again and again."""
    remembering = lru_cache(10_000)(check)
    # Others may be equal and not the same, as 1 and True are; or have no hash.
    return lambda value: remembering(value) if type(value) is str else check(value)


def moment(value: Any, zone: tzinfo) -> datetime:
    """``value`` in UTC: a datetime, a date (its midnight) or ISO text; naive ones are in ``zone``.

    Digits behind the microseconds are cut off. InvalidInput if it is none of these, or not in the
    years 1001 to 9996.
    """
    try:
        if isinstance(value, str):
            usual = USUAL.fullmatch(value)
            value = datetime.fromisoformat(value) if usual else _parsed(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        aware = value if value.tzinfo else value.replace(tzinfo=zone)
        utc: datetime = aware
        if aware.tzinfo is not timezone.utc:
            utc = aware.astimezone(timezone.utc)
        if not 1000 < utc.year < 9997:
            raise ValueError
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{_checks.shown(value)} is not a time that can be read: write it as"
            " 2026-11-22T12:00:00Z."
        ) from error
    return utc


def _parsed(text: str) -> datetime:
    """ISO 8601 as databases and RFC 3339 write it; Python 3.10 reads less of it by itself."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError
    day, minute, seconds, fraction, utc, hours, minutes = found.groups()
    if fraction and not seconds:
        raise ValueError
    micros = f".{fraction[:6].ljust(6, '0')}" if fraction else ""
    zone = "+00:00" if utc else f"{hours}:{minutes or '00'}" if hours else ""
    return datetime.fromisoformat(f"{day}T{minute or '00:00'}{seconds or ':00'}{micros}{zone}")


def strict_json(text: str) -> Any:
    """What ``text`` says; ValueError for NaN, and for an object that names something twice."""
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once_each)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _text_or_none(value: Any, name: str) -> str | None:
    return None if value is None else _checks.text(value, f"its {name}", 64)


def _plain(value: Any) -> Any:
    """``value`` for details, as a text if JSON has nothing like it."""
    if isinstance(value, bytes):
        return value.hex()
    try:
        return _checks.details(value)
    except InvalidInput:
        return str(value)
