"""Some weeks of a small school, lived by the app's own rules: for those who want to look around.

The same seed makes the same weeks, which end today. All of it is one transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random

from flask import Flask
from sqlalchemy import select

from flask_coins.testing import travel

from . import rewards, shop
from .accounts import add_user, pay_inviter
from .extensions import coins, db
from .models import Boss, Hint, Item, Paragraph, Permission, Question, Reading, User
from .zones import as_zone

SEED = 9
WEEKS = 6
LEARNER, LEARNER_PASSWORD = "demo", "demo-coins"
ADMIN, ADMIN_PASSWORD = "admin", "admin-coins"
LOGINS = [
    (LEARNER, LEARNER_PASSWORD, "a learner with a streak to keep"),
    (ADMIN, ADMIN_PASSWORD, "looks after the coins of all"),
]
DAY = timedelta(days=1)
MISSED = 4
"""How many days ago the learner of the demo was away, with a freeze in the pocket."""


@dataclass(frozen=True)
class Person:
    """Somebody who learns: how often they come, and how many questions they answer then."""

    name: str
    zone: str
    goal: str
    diligence: float
    answers: int


PEOPLE = [
    Person(LEARNER, "Europe/Berlin", "medium", 0.8, 4),
    Person("Aiko", "Asia/Tokyo", "hard", 0.95, 7),
    Person("Babajide", "Africa/Lagos", "easy", 0.7, 3),
    Person("Carlos", "America/Mexico_City", "medium", 0.8, 5),
    Person("Deepa", "Asia/Kolkata", "hard", 0.9, 6),
    Person("Emma", "Europe/London", "medium", 0.75, 4),
    Person("Freya", "Europe/Oslo", "easy", 0.5, 3),
    Person("Gabriel", "America/Sao_Paulo", "medium", 0.65, 4),
    Person("Hana", "Pacific/Auckland", "hard", 0.85, 6),
    Person("Ivan", "Asia/Yekaterinburg", "easy", 0.4, 2),
    Person("Jade", "America/Los_Angeles", "easy", 0.55, 3),
    Person("Kofi", "Africa/Accra", "medium", 0.6, 4),
]


def is_there() -> bool:
    """Whether the demo's accounts are: nobody else is an admin of that name."""
    admin = select(User.id).where(
        User.name == ADMIN, User.permissions.any(Permission.name == "manage_coins")
    )
    return db.session.scalar(admin) is not None


def fill(app: Flask) -> bool:
    """Add the people and their weeks, unless they are there: whether it did. Commits.

    ValueError where somebody has signed up under one of their names.
    """
    if is_there():
        return False
    names = [ADMIN, *(person.name for person in PEOPLE)]
    if taken := db.session.scalars(select(User.name).where(User.name.in_(names))).first():
        raise ValueError(f"There is a learner {taken!r} already: name an empty DATABASE_URL.")
    School(app, coins.now()).live()
    db.session.commit()
    return True


class School:
    """Everybody's visits, one after the other. Nothing is committed."""

    def __init__(self, app: Flask, now: datetime) -> None:
        self.app = app
        self.now = now
        self.random = Random(SEED)
        self.users: dict[str, User] = {}
        self.left: dict[str, list[Question]] = {}
        self.questions = list(db.session.scalars(select(Question).order_by(Question.id)))
        self.paragraphs = list(db.session.scalars(select(Paragraph).order_by(Paragraph.id)))
        self.bosses = list(db.session.scalars(select(Boss).order_by(Boss.id)))
        self.items = {item.icon: item for item in db.session.scalars(select(Item))}

    def live(self) -> None:
        """All weeks, then what is going on at present."""
        visits = [visit for person in PEOPLE for visit in self.visits(person)]
        for at, person in sorted(visits, key=lambda visit: visit[0]):
            with travel(self.app, at):
                self.visit(person, at)
        learner = self.users[LEARNER]
        shop.reserve(learner, self.items["telescope"], "demo")
        self.add_admin()

    def visits(self, person: Person) -> Iterator[tuple[datetime, Person]]:
        """When ``person`` comes. The learner of the demo has not been here today."""
        zone, today = as_zone(person.zone), self.now.astimezone(as_zone(person.zone)).date()
        late = 0 if person.name == LEARNER else self.random.randrange(14)
        begun = today - (WEEKS * 7 - late) * DAY
        for ago in range((today - begun).days, -1, -1):
            minutes = self.random.randrange(7 * 60, 21 * 60)
            at = datetime.combine(today - ago * DAY, time(*divmod(minutes, 60)), zone)
            if at < self.now and self.comes(person, ago, today - ago * DAY == begun):
                yield at, person

    def comes(self, person: Person, ago: int, is_first: bool) -> bool:
        by_chance = self.random.random() < person.diligence
        if person.name == LEARNER and ago < 12:
            return ago not in (0, MISSED)
        return is_first or by_chance

    def visit(self, person: Person, at: datetime) -> None:
        user = self.users.get(person.name) or self.sign_up(person)
        rewards.daily_activity(user)
        for _ in range(self.random.randint(1, person.answers + 2)):
            self.answer(user)
        self.collect(user)
        for task, chance in ((self.read, 0.15), (self.fight, 0.12), (self.give, 0.05)):
            if self.random.random() < chance:
                task(user)
        self.buy(person, user, at)

    def sign_up(self, person: Person) -> User:
        user = add_user(person.name, person.zone)
        user.goal = person.goal
        if person.name == LEARNER:
            user.set_password(LEARNER_PASSWORD)
        db.session.flush()
        if self.users:
            pay_inviter(user, self.random.choice(list(self.users.values())[:3]).invite_code)
        self.users[person.name] = user
        return user

    def answer(self, user: User) -> None:
        """A new question now and then, else practice; mostly right, and seldom with a hint."""
        left = self.left.setdefault(user.name, list(self.questions))
        known = [question for question in self.questions if question not in left]
        is_new = not known or (left and self.random.random() < 0.2)
        question = left[0] if is_new else self.random.choice(known)
        if is_new and self.random.random() < 0.15:
            self.ask_for_hint(user, question)
        if self.random.random() < 0.15:
            rewards.answer(user, question, "I do not know")
            return
        rewards.answer(user, question, question.answer)
        if is_new:
            left.remove(question)

    def ask_for_hint(self, user: User, question: Question) -> None:
        new = db.session.get(Hint, (user.id, question.id)) is None
        if new and coins.available(user) >= rewards.HINT.amount:
            coins.spend(user, rewards.HINT.amount, rewards.HINT.reason, subject=question)
            db.session.add(Hint(user_id=user.id, question_id=question.id))

    def collect(self, user: User) -> None:
        """Both goals, where they are reached."""
        if user.correct_today() >= rewards.tier_of(user).answers:
            rewards.complete_daily_goal(user)
        if user.correct_this_week() >= rewards.WEEKLY_ANSWERS:
            rewards.WEEKLY_GOAL.pay(user)

    def read(self, user: User) -> None:
        closed = Paragraph.closed_by(user)
        for paragraph in self.paragraphs:
            if paragraph.id not in closed:
                db.session.add(Reading(user_id=user.id, paragraph_id=paragraph.id))
                rewards.PARAGRAPH_CLOSE.pay(user, subject=paragraph)
                return

    def fight(self, user: User) -> None:
        blows, defeated = user.correct_this_week(), rewards.defeated_this_week(user)
        for boss in self.bosses:
            if boss.hit_points <= blows and boss.id not in defeated:
                rewards.BOSS_DEFEATED.pay(user, subject=boss)
                return

    def give(self, user: User) -> None:
        friend = self.random.choice(list(self.users.values()))
        if friend is not user and coins.available(user) >= 20:
            coins.transfer(user, friend, self.random.choice([5, 10, 20]), "gift")

    def buy(self, person: Person, user: User, at: datetime) -> None:
        """What they can afford and fancy; a freeze for the day that the demo's learner missed."""
        if person.name == LEARNER:
            ago = (self.now.astimezone(at.tzinfo).date() - at.date()).days
            wanted = {MISSED + 1: "freeze", MISSED + 5: "rocket"}.get(ago)
        else:
            wanted = self.random.choice(["freeze", "rocket", "owl", None, None, None, None, None])
        item = self.items.get(wanted or "")
        if item and item.stock != 1 and coins.available(user) >= item.price:
            shop.buy(user, item, f"demo {at}")

    def add_admin(self) -> None:
        """Somebody who looks after the coins of all, and has begun to."""
        admin = add_user(ADMIN, "UTC")
        admin.set_password(ADMIN_PASSWORD)
        admin.permissions[:] = db.session.scalars(
            select(Permission).where(Permission.name == "manage_coins")
        )
        db.session.flush()

        def because(note: str) -> dict[str, str]:
            """What the admin pages note, too."""
            return {"by": admin.get_id(), "name": admin.name, "note": note}

        helped = because("Helped at the open day.")
        coins.award(self.users[LEARNER], 25, "adjustment", details=helped)
        won = next(each for each in coins.history(self.users["Aiko"]) if each.amount == 60)
        coins.reverse(
            won, "adjustment", amount=20, details=because("Had the riddle from a friend.")
        )
