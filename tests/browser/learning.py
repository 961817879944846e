"""What learners do in the example app: they look for names and press what has them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import select

from example_app.extensions import coins, db
from example_app.models import Question, User

from .site import Site
from .visitors import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PASSWORD = "correct horse"
NUMBERS = count(1)


class Learner:
    """Somebody with an account of their own, on a page of the example app."""

    def __init__(self, site: Site, visitor: Visitor, path: str = "/signup") -> None:
        self.site, self.visitor = site, visitor
        self.name = f"learner {next(NUMBERS)}"
        self.page = visitor.open(path)
        self.main.get_by_label("Time zone").select_option("Europe/Berlin")
        self.fill_in("Sign up")

    def log_in(self) -> None:
        """Fill in the login, on its page."""
        self.fill_in("Log in")

    def fill_in(self, button: str) -> None:
        """Name and password, and then ``button``."""
        self.main.get_by_role("textbox", name="Name").fill(self.name)
        self.main.get_by_label("Password").fill(PASSWORD)
        self.press(button)

    @property
    def main(self) -> Locator:
        """What the page is about: neither its menu nor its toasts."""
        return self.page.get_by_role("main")

    @property
    def toasts(self) -> Locator:
        """The coins that have just flown in."""
        return self.page.locator("[data-coins-toasts]")

    @property
    def badge(self) -> Locator:
        """The balance beside the menu."""
        return self.page.locator("[data-coins-balance]")

    def open(self, path: str) -> Page:
        """Go to the page at ``path``."""
        self.page.goto(self.site.url + path)
        return self.page

    def press(self, name: str, number: int = 0) -> None:
        """Press the button whose name begins so, the first one by default."""
        self.main.get_by_role("button", name=name).nth(number).click()

    def follow(self, name: str) -> None:
        """Follow a link of the menu."""
        menu = self.page.get_by_role("navigation", name="Main")
        menu.get_by_role("link", name=name, exact=True).click()

    def answer(self, exam: str, number: int = 99) -> None:
        """Answer the first ``number`` questions of ``exam`` right."""
        self.open("/exams/")
        self.main.get_by_role("link", name=exam).click()
        for prompt, answer in right_answers(self.site, exam)[:number]:
            self.main.get_by_label(prompt).fill(answer)
            self.main.get_by_label(prompt).press("Enter")
            self.page.wait_for_load_state()

    def is_given(self, amount: int) -> None:
        """Coins from nowhere, to spend."""
        with self.site.app.app_context():
            coins.award(self.account(), amount, "xp_bonus")
            db.session.commit()

    def account(self) -> User:
        """Their row, in an app context."""
        return db.session.scalars(select(User).where(User.name == self.name)).one()

    def paid(self) -> dict[str, list[int]]:
        """What the log has for them: the amounts of each reason, the oldest first."""
        found: dict[str, list[int]] = {}
        with self.site.app.app_context():
            for entry in reversed(coins.history(self.account())):
                found.setdefault(entry.reason, []).append(entry.amount)
        return found


def right_answers(site: Site, exam: str) -> list[tuple[str, str]]:
    """The questions of ``exam``, as its page names it, and their answers."""
    with site.app.app_context():
        questions = db.session.scalars(select(Question).order_by(Question.number))
        return [(each.prompt, each.answer) for each in questions if str(each.variant) == exam]
