"""Accounts and what there is to learn. Coins are nowhere here: Flask-Coins keeps them."""

from __future__ import annotations

import secrets
from datetime import date, timedelta

from flask import current_app
from flask_login import UserMixin
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    String,
    Table,
    exists,
    func,
    select,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates
from werkzeug.security import check_password_hash, generate_password_hash

from .extensions import Base, coins, db
from .zones import as_zone

user_permission = Table(
    "user_permission",
    Base.metadata,
    Column("user_id", ForeignKey("user.id"), primary_key=True),
    Column("permission_id", ForeignKey("permission.id"), primary_key=True),
)


class Permission(db.Model):
    """Something that an account may do. New accounts get the default ones."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(String(80))
    is_default: Mapped[bool]


class User(UserMixin, db.Model):
    """A learner, with a time zone: a day of theirs is a day on their own calendar."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    zone: Mapped[str] = mapped_column(String(64), default="UTC")
    goal: Mapped[str] = mapped_column(String(8), default="easy")
    xp: Mapped[int] = mapped_column(default=0)
    invite_code: Mapped[str] = mapped_column(
        String(16), unique=True, default=lambda: secrets.token_urlsafe(8)
    )
    inviter_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    permissions: Mapped[list[Permission]] = relationship(secondary=user_permission)

    def __str__(self) -> str:
        return self.name

    @validates("zone")
    def check_zone(self, _: str, zone: str) -> str:
        """A ValueError, and no change, for what is not a time zone."""
        as_zone(zone)
        return zone

    def set_password(self, password: str) -> None:
        """Keep a hash of ``password``."""
        method = current_app.config["PASSWORD_METHOD"]
        self.password_hash = generate_password_hash(password, method)

    def has_password(self, password: str) -> bool:
        """Whether ``password`` is the right one."""
        return check_password_hash(self.password_hash, password)

    def may(self, permission: str) -> bool:
        """Whether this account has the permission of that name."""
        return any(held.name == permission for held in self.permissions)

    @property
    def level(self) -> int:
        """One more for every hundred XP."""
        return self.xp // 100 + 1

    def today(self) -> date:
        """The date on the user's own calendar, by the clock that coins are paid by."""
        return coins.now().astimezone(as_zone(self.zone)).date()

    def give_xp(self, xp: int) -> None:
        """Add ``xp`` in the database, where two requests at once both count."""
        self.xp = User.xp + xp

    @property
    def badges(self) -> list[str]:
        """The icons of what the user has bought to show."""
        query = (
            select(Item.icon)
            .join(Purchase)
            .where(Purchase.user_id == self.id, Purchase.status == "bought", Item.kind == "thing")
        )
        return list(db.session.scalars(query.distinct()))

    @property
    def streak(self) -> int:
        """How many days in a row the user was paid for a login, by the coin log."""
        return coins.streak(self).length

    def correct_today(self) -> int:
        """How many correct answers the user gave on their own date of today."""
        today = self.today()
        return self._correct(Attempt.day == today)

    def correct_this_week(self) -> int:
        """How many since Monday, ISO weeks on the user's own calendar."""
        today = self.today()
        monday = today - timedelta(days=today.weekday())
        return self._correct(Attempt.day.between(monday, monday + timedelta(days=6)))

    @property
    def correct_ever(self) -> int:
        """How many in all."""
        return self._correct()

    def _correct(self, *criteria: ColumnElement[bool]) -> int:
        query = select(func.count(Attempt.id)).where(
            Attempt.user_id == self.id, Attempt.correct, *criteria
        )
        return db.session.scalar(query) or 0


class Variant(db.Model):
    """One variant of an exam; it is cleared when each of its questions was answered correctly."""

    id: Mapped[int] = mapped_column(primary_key=True)
    exam: Mapped[str] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(String(80))
    questions: Mapped[list[Question]] = relationship(
        back_populates="variant", order_by="Question.number"
    )

    __table_args__ = (db.UniqueConstraint("exam", "title"),)

    def __str__(self) -> str:
        return f"{self.exam}: {self.title}"

    def answered_by(self, user: User) -> set[int]:
        """The ids of the questions that ``user`` has answered correctly."""
        query = (
            select(Attempt.question_id)
            .join(Question)
            .where(Attempt.user_id == user.id, Attempt.correct, Question.variant_id == self.id)
        )
        return set(db.session.scalars(query))

    def hinted_to(self, user: User) -> set[int]:
        """The ids of the questions that ``user`` has bought a hint for."""
        query = (
            select(Hint.question_id)
            .join(Question)
            .where(Hint.user_id == user.id, Question.variant_id == self.id)
        )
        return set(db.session.scalars(query))

    def cleared_by(self, user: User) -> bool:
        """Whether no question is left."""
        unanswered = select(Question.id).where(
            Question.variant_id == self.id, Question.left_to(user)
        )
        return db.session.scalar(unanswered.limit(1)) is None

    @classmethod
    def count_cleared_by(cls, user: User) -> int:
        """How many variants have no question left for ``user``."""
        unanswered = exists().where(Question.variant_id == cls.id, Question.left_to(user))
        return db.session.scalar(select(func.count(cls.id)).where(~unanswered)) or 0


class Question(db.Model):
    """A question with one right answer."""

    id: Mapped[int] = mapped_column(primary_key=True)
    variant_id: Mapped[int] = mapped_column(ForeignKey("variant.id"), index=True)
    number: Mapped[int]
    prompt: Mapped[str] = mapped_column(String(200))
    answer: Mapped[str] = mapped_column(String(80))
    variant: Mapped[Variant] = relationship(back_populates="questions", lazy="joined")

    def __str__(self) -> str:
        return self.prompt

    @classmethod
    def left_to(cls, user: User) -> ColumnElement[bool]:
        """For a SELECT of questions: those that ``user`` has not answered correctly."""
        return ~exists().where(
            Attempt.question_id == cls.id, Attempt.user_id == user.id, Attempt.correct
        )

    def is_right(self, answer: str) -> bool:
        """Whether ``answer`` is the right one; case and space around it do not matter."""
        return answer.strip().casefold() == self.answer.casefold()

    @property
    def hint(self) -> str:
        """What a learner may buy: not the answer, but near it."""
        if self.answer.isdecimal():
            tens = int(self.answer) // 10 * 10
            return f"It lies between {tens} and {tens + 10}."
        return f"It begins with {self.answer[0].upper()} and has {len(self.answer)} letters."


class Hint(db.Model):
    """A hint that was paid for: its learner sees it from then on. The key lets nobody pay twice."""

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    question_id: Mapped[int] = mapped_column(ForeignKey("question.id"), primary_key=True)


class Attempt(db.Model):
    """One answer to a question. ``day`` is the date on the user's calendar when it was given."""

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    question_id: Mapped[int] = mapped_column(ForeignKey("question.id"))
    correct: Mapped[bool]
    day: Mapped[date]

    __table_args__ = (db.Index("ix_attempt_user_day", "user_id", "day"),)


class Paragraph(db.Model):
    """A piece of text to read and to close."""

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(80), unique=True)
    text: Mapped[str] = mapped_column(String(2000))

    def __str__(self) -> str:
        return self.title

    @classmethod
    def closed_by(cls, user: User) -> set[int]:
        """The ids of the paragraphs that ``user`` has closed."""
        return set(
            db.session.scalars(select(Reading.paragraph_id).where(Reading.user_id == user.id))
        )


class Reading(db.Model):
    """A paragraph was closed. Rows are only added, so that two clicks at once cannot collide."""

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    paragraph_id: Mapped[int] = mapped_column(ForeignKey("paragraph.id"))


class Boss(db.Model):
    """A hard riddle behind hit points. Bosses come back every week.

    Each right answer of a learner's week takes one hit point from every boss that they meet: nothing
    is stored, so nothing has to be set back on Mondays.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    riddle: Mapped[str] = mapped_column(String(200))
    answer: Mapped[str] = mapped_column(String(80))
    hit_points: Mapped[int] = mapped_column(server_default="3")

    def __str__(self) -> str:
        return self.name


class Achievement(db.Model):
    """Reached when the user's ``measure`` (a name of a number on User) is at least ``threshold``."""

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(80), unique=True)
    measure: Mapped[str] = mapped_column(String(40))
    threshold: Mapped[int]

    def reached_by(self, user: User) -> bool:
        """Whether ``user`` is there."""
        return getattr(user, self.measure) >= self.threshold


class Item(db.Model):
    """Something to be had in the shop."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    text: Mapped[str] = mapped_column(String(200))
    icon: Mapped[str] = mapped_column(String(16))
    price: Mapped[int]
    kind: Mapped[str] = mapped_column(String(8))
    """``"freeze"``, ``"thing"``, or ``"place"``: one that is reserved first and confirmed later."""
    stock: Mapped[int | None]
    """How many are left; None for as many as anybody wants."""

    def __str__(self) -> str:
        return self.name


class Purchase(db.Model):
    """What a learner has bought or reserved. How much and when is told by the coin log."""

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    status: Mapped[str] = mapped_column(String(9))
    """``"bought"``, ``"reserved"``, ``"cancelled"`` or ``"expired"``."""
    hold_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    """The hold that sets a reservation's coins aside."""
    item: Mapped[Item] = relationship(lazy="joined")
