"""A new learner's first day: every reward, the shop, and the wallet."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .learning import Learner

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


def test_a_new_learner_earns_each_reward_and_sees_each_toast(
    learner: Callable[..., Learner],
) -> None:
    ann = learner()
    told(ann, "+10", "Daily login")
    ann.answer("math9: Variant 1")
    told(ann, "+30", "Exam variant cleared")
    ann.follow("Goals")
    ann.press("Collect")
    told(ann, "+15", "Daily goal")
    ann.follow("Paragraphs")
    ann.press("I have read it")
    told(ann, "+5", "Paragraph")
    ann.follow("Bosses")
    ann.main.get_by_label("Four legs").fill("man")
    ann.press("Fight")
    told(ann, "+60", "Boss defeated")
    for exam in ("math9: Variant 2", "math9: Variant 4"):
        ann.answer(exam)
    ann.follow("Goals")
    ann.press("Collect")
    told(ann, "+50", "Weekly goal")
    expect(ann.badge).to_have_text("230")
    learner(invitation(ann)).visitor.judge()
    ann.follow("Wallet")
    expect(ann.main).to_contain_text("Friend invited")
    expect(ann.badge).to_have_text("250")
    assert ann.paid() == {
        "daily_login": [10],
        "variant_clear": [30, 30, 30],
        "daily_goal": [15],
        "paragraph_close": [5],
        "boss_defeated": [60],
        "weekly_goal": [50],
        "referral": [20],
    }


def told(learner: Learner, amount: str, reason: str) -> None:
    """The page that they see now has a toast that says so."""
    expect(learner.toasts).to_contain_text(re.compile(rf"{re.escape(amount)}.*{reason}", re.S))


def invitation(learner: Learner) -> str:
    """The path of the link by which a learner invites others."""
    learner.follow("Friends")
    link = learner.main.get_by_label("Your link").input_value()
    return link.removeprefix(learner.site.url)
