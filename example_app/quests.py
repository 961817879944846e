"""What there is to earn today, for the start page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import url_for
from sqlalchemy import func, select

from flask_coins import Reward

from .extensions import coins, db
from .models import Boss, Paragraph, User, Variant
from .rewards import TIERS, WEEKLY_ANSWERS, defeated_this_week


@dataclass(frozen=True)
class Quest:
    """One line of the start page: what it pays, how far it is, and where to go for it."""

    reward: Reward
    icon: str
    text: str
    href: str
    done: int = 0
    wanted: int | None = None
    """None where there is no end."""
    action: str | None = None
    """Where the reward is collected, if it is not paid by itself."""

    @property
    def is_ready(self) -> bool:
        """Whether its coins wait to be collected."""
        reached = self.wanted is not None and self.done >= self.wanted
        return reached and self.action is not None and self.reward.state == "open"


def quests(user: User) -> list[Quest]:
    """All of them, in the order of the page."""
    rewards = {each.reason: each for each in coins.status(user) if is_for(user, each)}
    return [*goals(user, rewards), *lessons(user, rewards)]


def is_for(user: User, reward: Reward) -> bool:
    """Whether ``reward`` is one of ``user``'s: of the daily goals only the chosen tier."""
    return reward.reason != "daily_goal" or reward.amount == TIERS[user.goal].coins


def goals(user: User, rewards: dict[str, Reward]) -> Iterator[Quest]:
    """The quests that close when they are paid, and open again."""
    wanted, page = TIERS[user.goal].answers, url_for("goals.index")
    yield Quest(
        rewards["daily_login"],
        icon="flame",
        text="Be here today.",
        href=url_for("streaks.index"),
        done=1,
        wanted=1,
        action=url_for("home.check_in"),
    )
    yield Quest(
        rewards["daily_goal"],
        icon="target",
        text=f"Right answers today, for your {user.goal} goal.",
        href=page,
        done=min(user.correct_today(), wanted),
        wanted=wanted,
        action=url_for("goals.complete_daily"),
    )
    yield Quest(
        rewards["weekly_goal"],
        icon="calendar",
        text="Right answers since Monday.",
        href=page,
        done=min(user.correct_this_week(), WEEKLY_ANSWERS),
        wanted=WEEKLY_ANSWERS,
        action=url_for("goals.complete_weekly"),
    )


def lessons(user: User, rewards: dict[str, Reward]) -> Iterator[Quest]:
    """The quests that pay for each of something."""
    yield Quest(
        rewards["variant_clear"],
        icon="exam",
        text="For each variant without a question left.",
        href=url_for("exams.index"),
        done=Variant.count_cleared_by(user),
        wanted=count(Variant),
    )
    yield Quest(
        rewards["paragraph_close"],
        icon="book",
        text="For each that you have read.",
        href=url_for("paragraphs.index"),
        done=len(Paragraph.closed_by(user)),
        wanted=count(Paragraph),
    )
    yield Quest(
        rewards["boss_defeated"],
        icon="boss",
        text="For each, once a week.",
        href=url_for("bosses.index"),
        done=len(defeated_this_week(user)),
        wanted=count(Boss),
    )
    yield Quest(
        rewards["referral"],
        icon="friends",
        text="For each who signs up through your link.",
        href=url_for("friends.index"),
    )


def count(model: type[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0
