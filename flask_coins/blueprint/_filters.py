"""What the address of the wallet page asks for: a currency, and which part of the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta, tzinfo
from typing import Any

from .. import _checks, _words
from ..errors import InvalidInput
from ..windows import Day

DAYS = (30, 90)
"""How many days the chart may show."""
_LARGEST_ID = 2**63 - 1


@dataclass
class Filters:
    """What is asked for, and what of it cannot be: that is left out, and told."""

    zone: tzinfo
    currency: str = "coins"
    days: int = DAYS[0]
    query: dict[str, str] = field(default_factory=dict)
    """The parameters that can be, but for those that say where in the history to begin."""
    conditions: dict[str, Any] = field(default_factory=dict)
    """The same as :meth:`flask_coins._wallet_reads.WalletReader.page` takes them."""
    errors: list[str] = field(default_factory=list)

    @property
    def is_set(self) -> bool:
        """Whether a part of the history is left out, wherever the page begins."""
        return not self.query.keys().isdisjoint({"reason", "show", "from", "to"})

    def link(self, **changes: Any) -> dict[str, str]:
        """The parameters of a page with the same filters but for ``changes``; None drops one."""
        return {name: it for name, it in {**self.query, **changes}.items() if it is not None}


def read(args: Mapping[str, str], zone: tzinfo) -> Filters:
    """The filters that ``args`` of the address name; empty ones are those a form left empty."""
    filters = Filters(zone)
    for name, take in _TAKES.items():
        given = args.get(name, "").strip() if name != "reason" else args.get(name, "")
        if given:
            take(filters, given)
    return filters


def _currency(filters: Filters, given: str) -> None:
    try:
        filters.currency = _checks.currency(given)
    except InvalidInput:
        filters.errors.append(_words.text("There is no such currency."))
    else:
        filters.query["currency"] = given


def _days(filters: Filters, given: str) -> None:
    if given not in map(str, DAYS):
        filters.errors.append(_words.text("The chart shows 30 or 90 days."))
        return
    filters.days = int(given)
    filters.query["days"] = given


def _reason(filters: Filters, given: str) -> None:
    try:
        filters.conditions["of_reason"] = _checks.reason(given)
    except InvalidInput:
        filters.errors.append(_words.text("Nothing is paid for that: choose from the list."))
    else:
        filters.query["reason"] = given


def _show(filters: Filters, given: str) -> None:
    if given not in ("earned", "spent"):
        filters.errors.append(_words.text("Coins are earned or spent: choose from the list."))
        return
    filters.conditions[given] = True
    filters.query["show"] = given


def _from(filters: Filters, given: str) -> None:
    first = _date(filters, given)
    if first:
        filters.conditions["since"] = Day().start(first, filters.zone)
        filters.query["from"] = given


def _to(filters: Filters, given: str) -> None:
    last = _date(filters, given)
    if last:
        filters.conditions["until"] = Day().start(last + timedelta(days=1), filters.zone)
        filters.query["to"] = given


def _date(filters: Filters, given: str) -> date | None:
    try:
        day = date.fromisoformat(given)
    except ValueError:
        day = None
    if day and day.isoformat() == given and 1000 < day.year < 9997:
        return day
    filters.errors.append(_words.text("A date is written like this: 2026-11-22."))
    return None


def _cursor(name: str, filters: Filters, given: str) -> None:
    is_number = given.isascii() and given.isdigit() and len(given) < 20
    if is_number and 0 < int(given) <= _LARGEST_ID:
        filters.conditions[name] = int(given)
    else:
        filters.errors.append(_words.text("There is no such page: this is the newest one."))


def _before(filters: Filters, given: str) -> None:
    _cursor("before", filters, given)


def _after(filters: Filters, given: str) -> None:
    if "before" not in filters.conditions:
        _cursor("after", filters, given)


_TAKES = {
    "currency": _currency,
    "days": _days,
    "reason": _reason,
    "show": _show,
    "from": _from,
    "to": _to,
    "before": _before,
    "after": _after,
}
