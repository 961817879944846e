"""What every installation of the app starts with."""

from typing import Any

from sqlalchemy import select

from .extensions import db
from .models import Achievement, Boss, Item, Paragraph, Permission, Question, Variant

PERMISSIONS = [
    ("earn_coins", "Is paid for learning", True),
    ("invite", "Is paid for inviting others", True),
    # For those who look after other people's coins, no learner: see accounts.may_manage.
    ("manage_coins", "Looks after the coins of all", False),
]
ACHIEVEMENTS = [
    ("First steps", "correct_ever", 1),
    ("Hundred answers", "correct_ever", 100),
    ("A whole week", "streak", 7),
    ("Scholar", "xp", 500),
]
EXAMS = {
    "math9": {
        "Variant 1": [("7 × 8 = ?", "56"), ("2x + 3 = 11, x = ?", "4"), ("√144 = ?", "12")],
        "Variant 2": [("9 × 6 = ?", "54"), ("5x − 4 = 21, x = ?", "5"), ("√169 = ?", "13")],
        "Variant 3": [("12 × 11 = ?", "132"), ("x ÷ 4 = 9, x = ?", "36"), ("2⁸ = ?", "256")],
        "Variant 4": [
            ("15% of 80 = ?", "12"),
            ("3(x − 2) = 18, x = ?", "8"),
            ("The angles of a triangle add up to how many degrees?", "180"),
            ("(−3) · (−7) = ?", "21"),
        ],
        "Variant 5": [
            ("x² = 81 and x > 0, x = ?", "9"),
            ("How many corners has a cube?", "8"),
            ("2³ · 2² = ?", "32"),
            ("¾ of 60 = ?", "45"),
        ],
    },
    "world9": {
        "Capitals": [
            ("The capital of Australia?", "Canberra"),
            ("The capital of Canada?", "Ottawa"),
            ("The capital of Kenya?", "Nairobi"),
            ("The capital of Norway?", "Oslo"),
        ],
        "Nature": [
            ("The planet nearest to the Sun?", "Mercury"),
            ("The gas that plants take from the air: carbon …?", "dioxide"),
            ("The longest river of Africa?", "Nile"),
            ("How many legs has a spider?", "8"),
        ],
    },
}
PARAGRAPHS = [
    ("Why spacing works", "What is learnt in three short sittings stays longer than in one long."),
    ("Why testing works", "Recalling an answer teaches more than reading it once again."),
    ("Why sleep works", "A night between two lessons does part of the work."),
    (
        "Why mixing works",
        "Two kinds of exercise in turn teach better: you find out each time which kind it is.",
    ),
    (
        "Why explaining works",
        "Tell somebody how it goes, in words of your own. Where you get stuck is what to read next.",
    ),
]
BOSSES = [
    ("The Sphinx", "Four legs at dawn, two at noon, three at dusk: who?", "man", 3),
    ("The Lost Number", "The smallest prime of two equal digits?", "11", 6),
    ("The Root Dragon", "The root of the root of 256?", "4", 10),
]
ITEMS = [
    {
        "name": "Streak freeze",
        "text": "Bridges one day that you miss. Buy it before the day is over.",
        "icon": "freeze",
        "price": 20,
        "kind": "freeze",
        "stock": None,
    },
    {
        "name": "Rocket badge",
        "text": "For those who are quick. It shows beside your name.",
        "icon": "rocket",
        "price": 30,
        "kind": "thing",
        "stock": 50,
    },
    {
        "name": "Golden owl",
        "text": "There are five in the whole world. It shows beside your name.",
        "icon": "owl",
        "price": 120,
        "kind": "thing",
        "stock": 5,
    },
    {
        "name": "Observatory night",
        "text": "A place on the trip. Reserve it, ask at home, confirm within a day.",
        "icon": "telescope",
        "price": 60,
        "kind": "place",
        "stock": 8,
    },
]


def seed() -> None:
    """Add what is missing and leave what is there. Commits."""
    for name, title, is_default in PERMISSIONS:
        add_missing(Permission, name=name, defaults={"title": title, "is_default": is_default})
    for title, measure, threshold in ACHIEVEMENTS:
        add_missing(Achievement, title=title, defaults={"measure": measure, "threshold": threshold})
    for exam, variants in EXAMS.items():
        for title, questions in variants.items():
            add_missing(
                Variant, exam=exam, title=title, defaults={"questions": numbered(questions)}
            )
    for title, text in PARAGRAPHS:
        add_missing(Paragraph, title=title, defaults={"text": text})
    for name, riddle, answer, hit_points in BOSSES:
        defaults = {"riddle": riddle, "answer": answer, "hit_points": hit_points}
        add_missing(Boss, name=name, defaults=defaults)
    for item in ITEMS:
        add_missing(Item, name=item["name"], defaults=item)
    db.session.commit()


def add_missing(model: type[Any], *, defaults: dict[str, Any], **key: Any) -> None:
    """Add a row with this key and these ``defaults`` unless one with the key is there."""
    if db.session.scalar(select(model).filter_by(**key)) is None:
        db.session.add(model(**{**defaults, **key}))


def numbered(questions: list[tuple[str, str]]) -> list[Question]:
    return [
        Question(number=number, prompt=prompt, answer=answer)
        for number, (prompt, answer) in enumerate(questions, start=1)
    ]
