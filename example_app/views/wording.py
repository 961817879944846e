"""How the pages put things."""

from datetime import datetime

from flask import Flask, g
from flask_login import current_user
from sqlalchemy import select

from ..extensions import coins, db
from ..models import User
from ..rewards import SUBJECTS
from ..streaks import Day
from ..zones import as_zone

REASONS = {
    "gift": "Gift",
    "paragraph_close": "Paragraph read to the end",
    "referral": "Friend invited",
    "shop": "Bought in the shop",
    "variant_clear": "Exam variant cleared",
}
MEASURES = {
    "correct_ever": ("correct answer", "correct answers"),
    "streak": ("day in a row", "days in a row"),
    "xp": ("XP", "XP"),
}
STATES = {
    "paid": "you were here",
    "frozen": "bridged by a freeze",
    "missed": "missed",
    "today": "today, still open",
    "coming": "to come",
}


def init_app(app: Flask) -> None:
    for template_filter in (words, local_time, measured, state_in_words):
        app.add_template_filter(template_filter)


@coins.words_loader
def words(reason: str, subject: str | None = None) -> str:
    """A reason as people read it, with what it was for; the wallet asks too."""
    told = REASONS.get(reason, reason.replace("_", " ").capitalize())
    name = name_of(reason, subject) if subject else None
    return f"{told}: {name}" if name else told


def name_of(reason: str, subject: str) -> str | None:
    """The name of what a subject stands for; None where it is gone, as entries outlive it."""
    if reason == "streak_freeze":
        return words(subject)
    model = SUBJECTS.get(reason)
    if model is None or not subject.isdecimal():
        return None
    if model is User:
        friend = db.session.get(User, int(subject))
        return friend.name if friend else None
    return all_names(model).get(int(subject))


def all_names(model: type) -> dict[int, str]:
    """The names of all rows of a small table, read once in a request."""
    known = g.setdefault("names", {})
    if model not in known:
        known[model] = {row.id: str(row) for row in db.session.scalars(select(model))}
    return known[model]


def local_time(moment: datetime) -> str:
    """A moment on the user's own clock."""
    return moment.astimezone(as_zone(current_user.zone)).strftime("%a %d %b, %H:%M")


def measured(number: int, measure: str) -> str:
    """A number of what an achievement measures."""
    one, more = MEASURES[measure]
    return f"{number} {one if number == 1 else more}"


def state_in_words(day: Day) -> str:
    """What a day was, for those who do not see its colour."""
    return STATES[day.state]
