"""What people read: texts, numbers and times, in the host's language where Flask-Babel is there.

Messages are literals where they are given to :func:`text`, :func:`plural` or :func:`later`, so that
they can be collected for the catalogs. Each function is a global of the templates, too.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from flask import Flask, current_app

from ._languages import language as _language


def later(message: str) -> str:
    """``message`` itself, collected for the catalogs: it is given to :func:`text` later on."""
    return message


_REASONS = {
    "adjustment": later("Adjustment"),
    "boss_defeated": later("Boss defeated"),
    "daily_goal": later("Daily goal"),
    "daily_login": later("Daily login"),
    "hint": later("Hint"),
    "paragraph_close": later("Paragraph finished"),
    "referral": later("Referral"),
    "reversal": later("Reversal"),
    "streak_freeze": later("Streak freeze"),
    "transfer": later("Transfer"),
    "variant_clear": later("Variant cleared"),
    "weekly_goal": later("Weekly goal"),
    "xp_bonus": later("XP bonus"),
}


def text(message: str, **values: Any) -> str:
    """``message`` in the language of the request, with its ``%(name)s`` filled."""
    found = _language().text(message)
    return found % values if values else found


def plural(one: str, many: str, number: int, **values: Any) -> str:
    """The form that goes with ``number``, which each may name as ``%(num)s``."""
    return _language().plural(one, many, abs(number)) % {"num": amount(number), **values}


def amount(number: int) -> str:
    """A whole number with its thousands set apart."""
    return _language().amount(number)


def units(number: int, currency: str = "coins") -> str:
    """An amount with its currency: ``1 coin``, ``5 coins``, ``5 gems``."""
    if currency == "coins":
        return plural("%(num)s coin", "%(num)s coins", number)
    return text("%(num)s %(currency)s", num=amount(number), currency=text(currency))


def duration(length: timedelta) -> str:
    """How long, from days down to seconds: ``2 days``, ``1 hour 30 minutes``."""
    hours, seconds = divmod(length.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = [
        (length.days, plural("%(num)s day", "%(num)s days", length.days)),
        (hours, plural("%(num)s hour", "%(num)s hours", hours)),
        (minutes, plural("%(num)s minute", "%(num)s minutes", minutes)),
        (seconds, plural("%(num)s second", "%(num)s seconds", seconds)),
    ]
    return " ".join(said for number, said in parts if number) or parts[-1][1]


def day(moment: datetime, zone: tzinfo) -> str:
    """The date of ``moment`` on a calendar in ``zone``: ``22 November 2026``."""
    return _language().day(moment.astimezone(zone).date())


def time(moment: datetime, zone: tzinfo) -> str:
    """The date and the minute of ``moment`` in ``zone``: ``22 November 2026, 14:05``."""
    return _language().time(_local(moment, zone))


def clock(moment: datetime, zone: tzinfo) -> str:
    """The minute of ``moment`` in ``zone``, without the date: ``14:05``."""
    return _language().clock(_local(moment, zone).time())


def date_of(day: date) -> str:
    """A day of a calendar: ``22 November 2026``."""
    return _language().day(day)


def short_date_of(day: date) -> str:
    """A day of a calendar, as on an axis: ``22 Nov``."""
    return _language().short_day(day)


def month_of(day: date) -> str:
    """The month that a day lies in: ``November 2026``."""
    return _language().month(day)


def weekday_of(day: date) -> str:
    """The day of the week, as over the column of a calendar: ``Sun``."""
    return _language().weekday(day)


def reason(name: str, subject: str | None = None) -> str:
    """A reason as people say it: what the host's ``words_loader`` says, else ``Daily goal``."""
    extension = current_app.extensions.get("coins") if current_app else None
    loader = extension.loaders.words if extension else None
    told = loader(name, subject) if loader else None
    if told is not None:
        return str(told)
    if name == "streak_freeze" and subject:
        return text("Streak freeze: %(reason)s", reason=reason(subject))
    spaced = name.replace("_", " ")
    return text(_REASONS.get(name) or spaced[:1].upper() + spaced[1:])


def language() -> str:
    """What the texts are written in, for the attribute ``lang``: ``en``, ``de-AT``."""
    return _language().tag


def direction() -> str:
    """``ltr`` or ``rtl``, for the attribute ``dir``."""
    return _language().direction


_TOLD = (
    *(text, plural, amount, units, duration, reason, language, direction),
    *(day, time, clock, date_of, short_date_of, month_of, weekday_of),
)


def init_app(app: Flask) -> None:
    """Give the templates ``coins_text``, ``coins_plural`` and the others of this module."""
    for tell in _TOLD:
        app.jinja_env.globals.setdefault(f"coins_{tell.__name__}", tell)


def _local(moment: datetime, zone: tzinfo) -> datetime:
    # Naive: a language shall write the time as it is there, and convert it no more.
    return moment.astimezone(zone).replace(tzinfo=None)
