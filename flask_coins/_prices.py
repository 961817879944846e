"""What the API sells: how many coins each reason costs."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _checks
from .errors import InvalidInput

_SHAPE = (
    ' must be a dict of reasons and prices, such as {"hint": 5}, or'
    ' {"skin": {"amount": 3, "currency": "gems"}}'
)


class Price(NamedTuple):
    """Coins that something costs."""

    amount: int
    currency: str = "coins"


def prices(given: Any) -> dict[str, Price]:
    """The price list that ``COINS_API_PRICES`` holds; InvalidInput if it is none."""
    if not isinstance(given, dict):
        raise InvalidInput(f"{_SHAPE}, not {_checks.shown(given)}")
    found = {}
    for reason, each in given.items():
        try:
            found[_checks.reason(reason)] = _price(each)
        except InvalidInput as error:
            raise InvalidInput(f"[{_checks.shown(reason)}]: {error}") from error
    return found


def _price(given: Any) -> Price:
    if not isinstance(given, dict):
        return Price(_checks.amount(given))
    if not {"amount"} <= given.keys() <= {"amount", "currency"}:
        raise InvalidInput(f"the setting{_SHAPE}")
    price = Price(**given)
    return Price(_checks.amount(price.amount), _checks.currency(price.currency))
