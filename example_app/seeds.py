"""What every installation of the app starts with."""

from typing import Any

from sqlalchemy import select

from .extensions import db
from .models import Achievement, Boss, Paragraph, Permission, Question, Variant

PERMISSIONS = [
    ("earn_coins", "Is paid for learning", True),
    ("invite", "Is paid for inviting others", True),
    # For those who look after other people's coins, no learner. No page asks for it, as this release
    # has no admin pages; it is here so that accounts can be given it beforehand.
    ("manage_coins", "Looks after the coins of all", False),
]
ACHIEVEMENTS = [
    ("First steps", "correct_ever", 1),
    ("Hundred answers", "correct_ever", 100),
    ("A whole week", "streak", 7),
    ("Scholar", "xp", 500),
]
MATH9 = {
    "Variant 1": [("7 × 8 = ?", "56"), ("2x + 3 = 11, x = ?", "4"), ("√144 = ?", "12")],
    "Variant 2": [("9 × 6 = ?", "54"), ("5x − 4 = 21, x = ?", "5"), ("√169 = ?", "13")],
    "Variant 3": [("12 × 11 = ?", "132"), ("x ÷ 4 = 9, x = ?", "36"), ("2⁸ = ?", "256")],
}
PARAGRAPHS = [
    ("Why spacing works", "What is learnt in three short sittings stays longer than in one long."),
    ("Why testing works", "Recalling an answer teaches more than reading it once again."),
    ("Why sleep works", "A night between two lessons does part of the work."),
]
BOSSES = [
    ("The Sphinx", "Four legs at dawn, two at noon, three at dusk: who?", "man"),
    ("The Lost Number", "The smallest prime of two equal digits?", "11"),
]


def seed() -> None:
    """Add what is missing and leave what is there. Commits."""
    for name, title, is_default in PERMISSIONS:
        add_missing(Permission, name=name, defaults={"title": title, "is_default": is_default})
    for title, measure, threshold in ACHIEVEMENTS:
        add_missing(Achievement, title=title, defaults={"measure": measure, "threshold": threshold})
    for title, questions in MATH9.items():
        add_missing(Variant, exam="math9", title=title, defaults={"questions": numbered(questions)})
    for title, text in PARAGRAPHS:
        add_missing(Paragraph, title=title, defaults={"text": text})
    for name, riddle, answer in BOSSES:
        add_missing(Boss, name=name, defaults={"riddle": riddle, "answer": answer})
    db.session.commit()


def add_missing(model: type[Any], *, defaults: dict[str, Any], **key: Any) -> None:
    """Add a row with this key and these ``defaults`` unless one with the key is there."""
    if db.session.scalar(select(model).filter_by(**key)) is None:
        db.session.add(model(**key, **defaults))


def numbered(questions: list[tuple[str, str]]) -> list[Question]:
    return [
        Question(number=number, prompt=prompt, answer=answer)
        for number, (prompt, answer) in enumerate(questions, start=1)
    ]
