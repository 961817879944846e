"""The ``COINS_*`` keys of an app's configuration, read and checked once."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from . import _checks
from ._budgets import budgets
from ._prices import prices
from .errors import CoinsError, CoinsWarning, InvalidInput
from .windows import zone_of

PREFIX = "COINS_"
_DAY = 86_400
# Without arguments, which the views of the blueprint do not take.
_PATH = re.compile(r"(/[^/\s?#<]+)+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an app has set; each field is the key ``COINS_<FIELD>`` in upper case."""

    timezone: str = "UTC"
    """IANA zone of users for whom ``timezone_loader`` has none, and of budgets, leaderboards and
    figures."""
    xp_per_coin: int = 10
    """XP that are worth one coin in ``award_xp``."""
    cache_seconds: float = 60
    """How long a process may repeat a refusal without asking the database; 0 turns that off."""
    on_error: str | None = None
    """``"raise"`` or ``"log"`` when paying after a view fails; None: raise in debug and testing."""
    url_prefix: str | None = "/coins"
    """Where the blueprint is registered; None leaves registering it to the host."""
    install_migrations: bool = True
    """Whether ``flask db upgrade`` copies missing revisions into the host's folder."""
    budgets: Any = ()
    """A list of dicts: how much may be paid in a window, to each user or to all together."""
    api_prices: Any = field(default_factory=dict)
    """What the API sells: a dict of reasons and what each costs; an empty one turns it off."""
    streak: str | None = None
    """The reason whose streak the wallet shows; None: of those paid by the day, the longest."""
    toasts: bool = True
    """Whether the receipts of a redirect wait in the session for ``coins_toast()``."""

    expected_per_day: Mapping[str, int] = field(default_factory=dict)
    """How many coins a reason pays on a day at most, as a rule; the admin pages tell of more."""
    adjustment_reason: str = "adjustment"
    """Under which reason the log has what admins do to a user's coins."""

    def __post_init__(self) -> None:
        self._require(self._has_zone(), "timezone")
        self._require(type(self.xp_per_coin) is int and self.xp_per_coin > 0, "xp_per_coin")
        self._require(
            type(self.cache_seconds) in (int, float) and 0 <= self.cache_seconds <= _DAY,
            "cache_seconds",
        )
        self._require(self.on_error in (None, "raise", "log"), "on_error")
        prefix = self.url_prefix
        is_path = isinstance(prefix, str) and prefix.isprintable() and _PATH.fullmatch(prefix)
        self._require(prefix is None or bool(is_path), "url_prefix")
        self._require(type(self.install_migrations) is bool, "install_migrations")
        self._require(self._expects_numbers(), "expected_per_day")
        self._require(self._is_reason(self.adjustment_reason), "adjustment_reason")
        self._require(self.streak is None or self._is_reason(self.streak), "streak")
        self._require(type(self.toasts) is bool, "toasts")
        self._read_budgets()
        self._read_prices()

    def _read_budgets(self) -> None:
        try:
            found = budgets(self.budgets)
        except InvalidInput as error:
            raise CoinsError(f"COINS_BUDGETS{str(error).removesuffix('.')}.") from error
        for number, budget in enumerate(found):
            try:
                _checks.currency(budget.currency)
                _checks.reason("any" if budget.reason is None else budget.reason)
            except InvalidInput as error:
                raise CoinsError(f"COINS_BUDGETS[{number}]: {error}") from error
        object.__setattr__(self, "budgets", found)

    def _read_prices(self) -> None:
        try:
            object.__setattr__(self, "api_prices", prices(self.api_prices))
        except InvalidInput as error:
            raise CoinsError(f"COINS_API_PRICES{str(error).removesuffix('.')}.") from error

    def _has_zone(self) -> bool:
        try:
            zone_of(self.timezone)
        except InvalidInput:
            return False
        return True

    def _expects_numbers(self) -> bool:
        given = self.expected_per_day
        return isinstance(given, Mapping) and all(
            self._is_reason(reason) and type(most) is int and most >= 0
            for reason, most in given.items()
        )

    @staticmethod
    def _is_reason(given: Any) -> bool:
        try:
            _checks.reason(given)
        except InvalidInput:
            return False
        return True

    def _require(self, holds: bool, field: str) -> None:
        if not holds:
            wanted = {
                "timezone": "an IANA name such as 'Europe/Berlin' that this system has data for",
                "xp_per_coin": "a whole number from 1",
                "cache_seconds": "a number of seconds from 0 to 86,400",
                "on_error": "None, 'raise' or 'log'",
                "url_prefix": "a path such as '/coins', without arguments and a last '/', or None",
                "install_migrations": "True or False",
                "expected_per_day": "a dict of reasons and whole numbers of coins from 0",
                "adjustment_reason": "a text of 1 to 64 characters",
                "streak": "a reason such as 'daily_login', or None",
                "toasts": "True or False",
            }[field]
            key = PREFIX + field.upper()
            raise CoinsError(f"{key} must be {wanted}, not {getattr(self, field)!r}.")


def read(config: Mapping[str, Any]) -> Settings:
    """Settings from an app's ``config``; a key that is not known warns with the nearest name."""
    known = {PREFIX + field.name.upper(): field.name for field in fields(Settings)}
    for key in config:
        if key.startswith(PREFIX) and key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}."
            warnings.warn(f"Unknown setting {key}: {hint}", CoinsWarning, stacklevel=4)
    return Settings(**{name: config[key] for key, name in known.items() if key in config})
