"""Every reward of the app in one place: what is paid, for what, how often.

A rule is a value. ``@RULE`` above a view pays after the view has succeeded and commits its work;
``RULE.pay(user)`` pays at once, in the transaction of whoever calls it, and commits nothing.
"""

from dataclasses import dataclass
from typing import Any

from flask_login import current_user
from sqlalchemy import select

from flask_coins import CoinEntry, award_once, charge, redirected
from flask_coins.windows import Week

from .extensions import coins, db
from .models import Attempt, Boss, Item, Paragraph, Question, User, Variant
from .zones import as_zone


@dataclass(frozen=True)
class Tier:
    """A daily goal: so many correct answers in a day, and what they are worth."""

    answers: int
    coins: int
    xp: int


TIERS = {
    "easy": Tier(answers=1, coins=15, xp=10),
    "medium": Tier(answers=3, coins=25, xp=20),
    "hard": Tier(answers=5, coins=40, xp=40),
}
WEEKLY_ANSWERS = 10
XP = {"daily_activity": 5, "correct_answer": 2}

DAILY_LOGIN = award_once(10, "daily_login", "day")
# One reward, whichever tier is chosen: so of the three at most one is paid in a day.
DAILY_GOAL = award_once(
    lambda _: tier_of(current_user).coins,
    "daily_goal",
    "day",
    amounts=[tier.coins for tier in TIERS.values()],
)
WEEKLY_GOAL = award_once(50, "weekly_goal", "week")
PARAGRAPH_CLOSE = award_once(5, "paragraph_close", "forever", subject="{paragraph_id}")
BOSS_DEFEATED = award_once(60, "boss_defeated", "week", subject="{boss_id}", when=redirected)
# No view has these two, so nothing fills in the braces: they tell the list of rewards that the
# subject varies, and that .pay() must be given it.
VARIANT_CLEAR = award_once(30, "variant_clear", "forever", subject="{variant}")
REFERRAL = award_once(20, "referral", "forever", subject="{invited}")
HINT = charge(5, "hint", subject="{question_id}")


SUBJECTS: dict[str, type[Any]] = {
    "variant_clear": Variant,
    "paragraph_close": Paragraph,
    "boss_defeated": Boss,
    "referral": User,
    "hint": Question,
    "shop": Item,
}
"""What a movement is for, by its reason: the rows whose ids are the subjects in the coin log."""


def daily_activity(user: User) -> None:
    """The first login or check-in of a day: its coins are paid once, and the XP ride on them.

    The days that were paid make the streak.
    """
    if DAILY_LOGIN.pay(user):
        user.give_xp(XP["daily_activity"])


def tier_of(user: User) -> Tier:
    """The daily goal that ``user`` has chosen."""
    return TIERS[user.goal]


def complete_daily_goal(user: User) -> None:
    """Pay the tier that the user has chosen, once a day for all tiers, and its XP with it."""
    tier = tier_of(user)
    if DAILY_GOAL.pay(user, amount=tier.coins):
        user.give_xp(tier.xp)


def answer(user: User, question: Question, given: str) -> bool:
    """Note an answer, and pay what it is worth: whether it was right."""
    correct = question.is_right(given)
    db.session.add(
        Attempt(user_id=user.id, question_id=question.id, correct=correct, day=user.today())
    )
    if correct:
        correct_answer(user, question.variant)
    return correct


def correct_answer(user: User, variant: Variant) -> None:
    """XP for every correct answer; coins, for ever, when it was the last one of its variant."""
    user.give_xp(XP["correct_answer"])
    if variant.cleared_by(user):
        VARIANT_CLEAR.pay(user, subject=variant)


def defeated_this_week(user: User) -> set[int]:
    """The ids of the bosses that ``user`` was paid for this week, by the coin log."""
    week = Week().period(coins.now(), as_zone(user.zone))
    query = select(CoinEntry.subject).where(
        CoinEntry.user_id == user.get_id(),
        CoinEntry.currency == "coins",
        CoinEntry.reason == BOSS_DEFEATED.reason,
        CoinEntry.created_at >= week.start,
    )
    return {int(boss_id) for boss_id in db.session.scalars(query)}
