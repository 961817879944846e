"""What people read: texts, numbers and times, in the host's language where Flask-Babel is there."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from flask import Flask


def text(message: str, **values: Any) -> str:
    """``message`` in the language of the request, with its ``%(name)s`` filled."""
    return message % values if values else message


def plural(one: str, many: str, number: int, **values: Any) -> str:
    """``one`` or ``many`` by ``number``, which both may name as ``%(num)s``."""
    return (one if number == 1 else many) % {"num": amount(number), **values}


def amount(number: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{number:,}"


def day(moment: datetime, zone: tzinfo) -> str:
    """The date of ``moment`` on a calendar in ``zone``."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%B %Y}"


def time(moment: datetime, zone: tzinfo) -> str:
    """The date and the minute of ``moment`` in ``zone``."""
    return f"{day(moment, zone)}, {moment.astimezone(zone):%H:%M}"


def reason(name: str) -> str:
    """A reason as people say it: ``daily_goal`` is "Daily goal"."""
    return name.replace("_", " ").capitalize()


def init_app(app: Flask) -> None:
    """Give the templates ``coins_text``, ``coins_plural`` and the others of this module."""
    for tell in (text, plural, amount, day, time, reason):
        app.jinja_env.globals.setdefault(f"coins_{tell.__name__}", tell)
