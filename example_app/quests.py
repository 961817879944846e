"""What there is to earn today, for the start page."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from flask import url_for
from sqlalchemy import func, select

from flask_coins import Reward

from .extensions import coins, db
from .models import Boss, Paragraph, User, Variant
from .rewards import WEEKLY_ANSWERS, defeated_this_week, tier_of


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
    def is_done(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.wanted is not None and self.done >= self.wanted

    @property
    def is_ready(self) -> bool:
        """Whether its coins wait to be collected."""
        return self.is_done and self.action is not None and self.reward.state == "open"


def quests(user: User) -> list[Quest]:
    """All of them, in the order of the page."""
    rewards = {each.reason: each for each in coins.status(user)}
    return [*goals(user, rewards), *lessons(user, rewards)]


def goals(user: User, rewards: dict[str, Reward]) -> Iterator[Quest]:
    """The quests that close when they are paid, and open again."""
    tier, page = tier_of(user), url_for("goals.index")
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
        replace(rewards["daily_goal"], amount=tier.coins),
        icon="target",
        text=f"Right answers today, for your {user.goal} goal.",
        href=page,
        done=min(user.correct_today(), tier.answers),
        wanted=tier.answers,
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
