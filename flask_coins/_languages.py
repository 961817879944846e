"""English, and the languages of Flask-Babel: how each writes texts, numbers, days and times."""

from __future__ import annotations

from datetime import date, datetime, time
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Flask, current_app

if TYPE_CHECKING:
    from babel import Locale

DOMAIN = "coins"
"""The name of our catalogs, and of a host's that add to them: ``coins.po``."""

# strftime would take the names from the locale of the process.
_MONTHS = "January February March April May June July August September October November December"
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"

_known: WeakKeyDictionary[Flask, dict[Locale, English]] = WeakKeyDictionary()
"""What each app has spoken so far."""


class English:
    """Without Flask-Babel, or where it has no catalog for the language that is wanted."""

    tag = "en"
    direction = "ltr"

    def text(self, message: str) -> str:
        """The message itself."""
        return message

    def plural(self, one: str, many: str, number: int) -> str:
        """The form that goes with ``number``."""
        return one if number == 1 else many

    def amount(self, number: int) -> str:
        """1,234."""
        return f"{number:,}"

    def day(self, day: date) -> str:
        """22 November 2026."""
        return f"{day.day} {self.month(day)}"

    def short_day(self, day: date) -> str:
        """22 Nov."""
        return f"{day.day} {self.month(day)[:3]}"

    def month(self, day: date) -> str:
        """November 2026."""
        return f"{_MONTHS.split()[day.month - 1]} {day.year}"

    def weekday(self, day: date) -> str:
        """Sun."""
        return _WEEKDAYS.split()[day.weekday()][:3]

    def clock(self, at: time) -> str:
        """14:05."""
        return f"{at:%H:%M}"

    def time(self, at: datetime) -> str:
        """22 November 2026, 14:05."""
        return f"{self.day(at)}, {self.clock(at.time())}"


class Translated(English):
    """A language that Flask-Babel has chosen, in its own formats."""

    def __init__(self, locale: Locale, catalog: Any) -> None:
        self._locale = locale
        self._catalog = catalog
        self.direction = locale.text_direction
        parts = (locale.language, locale.script, locale.territory)
        self.tag = "-".join(part for part in parts if part)

    def text(self, message: str) -> str:
        """The message as the catalog has it, else in English."""
        return str(self._catalog.gettext(message))

    def plural(self, one: str, many: str, number: int) -> str:
        """The form that goes with ``number`` in this language."""
        return str(self._catalog.ngettext(one, many, number))

    def amount(self, number: int) -> str:
        """1.234 in German."""
        from babel.numbers import format_decimal

        return str(format_decimal(number, locale=self._locale))

    def day(self, day: date) -> str:
        """22. November 2026 in German."""
        from babel.dates import format_date

        return str(format_date(day, "long", locale=self._locale))

    def short_day(self, day: date) -> str:
        """22. Nov. in German."""
        return self._skeleton("MMMd", day)

    def month(self, day: date) -> str:
        """November 2026 in German, too."""
        return self._skeleton("yMMMM", day)

    def weekday(self, day: date) -> str:
        """So in German."""
        from babel.dates import format_date

        return str(format_date(day, "ccc", locale=self._locale))

    def clock(self, at: time) -> str:
        """14:05 in German, 2:05 PM in American English."""
        from babel.dates import format_time

        return str(format_time(at, "short", locale=self._locale))

    def time(self, at: datetime) -> str:
        """22. November 2026, 14:05 in German."""
        joined: str = self._locale.datetime_formats["medium"]
        return joined.format(self.clock(at.time()), self.day(at))

    def _skeleton(self, skeleton: str, day: date) -> str:
        from babel.dates import format_skeleton

        return str(format_skeleton(skeleton, day, locale=self._locale))


ENGLISH = English()


def language() -> English:
    """That of the request, if Flask-Babel is set up on the app and there is a catalog for it."""
    if not current_app or "babel" not in current_app.extensions:
        return ENGLISH
    from flask_babel import get_locale

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    known, locale = _known.setdefault(app, {}), get_locale()
    if locale not in known:
        known[locale] = _language_of(locale)
    return known[locale]


def _language_of(locale: Locale) -> English:
    """Our catalog, with the app's own of the same name merged over it."""
    from flask_babel import Domain, get_babel

    ours = str(files(__package__).joinpath("translations"))
    domain = Domain([ours, *get_babel().translation_directories], DOMAIN)
    catalog = domain.get_translations()
    if locale.language == ENGLISH.tag or catalog.files:
        return Translated(locale, catalog)
    return ENGLISH
