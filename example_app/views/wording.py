"""How the pages put things."""

from collections.abc import Sequence
from datetime import datetime

from flask import Flask
from flask_login import current_user
from sqlalchemy import select

from flask_coins import Entry, Reward

from ..extensions import db
from ..rewards import SUBJECTS
from ..zones import as_zone

FREQUENCIES: dict[str | None, str] = {"day": "once a day", "week": "once a week", "forever": "once"}
REASONS = {
    "variant_clear": "Exam variant cleared",
    "paragraph_close": "Paragraph read to the end",
    "referral": "Friend invited",
}
MEASURES = {
    "correct_ever": ("correct answer", "correct answers"),
    "streak": ("day in a row", "days in a row"),
    "xp": ("XP", "XP"),
}


def init_app(app: Flask) -> None:
    for template_filter in (words, local_time, how_often, measured, with_subjects):
        app.add_template_filter(template_filter)


def words(reason: str) -> str:
    """A reason as people read it."""
    return REASONS.get(reason, reason.replace("_", " ").capitalize())


def local_time(moment: datetime) -> str:
    """A moment on the user's own clock."""
    return moment.astimezone(as_zone(current_user.zone)).strftime("%a %d %b %Y, %H:%M")


def how_often(reward: Reward) -> str:
    """How often ``reward`` is paid, as in "once a week for each boss"."""
    subject = SUBJECTS.get(reward.reason)
    return FREQUENCIES[reward.window] + (f" for each {subject.word}" if subject else "")


def measured(number: int, measure: str) -> str:
    """A number of what an achievement measures."""
    one, more = MEASURES[measure]
    return f"{number} {one if number == 1 else more}"


def with_subjects(entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Each entry with the name of what it was paid for, in one SELECT for each kind of subject.

    The name is "" where there is no subject, or none any more: entries outlive what they name.
    """
    names: dict[tuple[str, str | None], str] = {}
    for reason, (model, _) in SUBJECTS.items():
        ids = {int(each.subject) for each in entries if each.reason == reason and each.subject}
        if ids:
            rows = db.session.scalars(select(model).where(model.id.in_(ids)))
            names |= {(reason, str(row.id)): str(row) for row in rows}
    return [(each, names.get((each.reason, each.subject), "")) for each in entries]
