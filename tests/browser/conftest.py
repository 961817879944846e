"""Fixtures of the tests that run in a browser.

They are skipped where the extra ``browser`` or Chromium is lacking, unless
COINS_TEST_REQUIRE_BROWSER=1 wants them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from .learning import Learner
from .plain import fill, make_plain_app
from .site import NOON, Site, make_app, make_database, serving
from .visitors import CHROMIUM, Visitor, launch, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LACKING = [
    *(name for name in ("playwright", "axe_playwright_python", "PIL") if not find_spec(name)),
    *([] if CHROMIUM else ["chromium"]),
]
if LACKING and os.environ.get("COINS_TEST_REQUIRE_BROWSER") == "1":
    raise pytest.UsageError(f"COINS_TEST_REQUIRE_BROWSER=1, but lacking: {', '.join(LACKING)}")


# Playwright's loop runs in this thread as long as the browser does, and asyncio.run() refuses to
# start beside it: so it ends with this package, not with the session.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The one browser; visitors have profiles of their own in it."""
    if LACKING:
        pytest.skip(f"Not here: {', '.join(LACKING)}")
    with launch() as browser:
        yield browser


@pytest.fixture(scope="package")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = tmp_path_factory.mktemp("site") / "site.sqlite3"
    make_database(database)
    with serving(make_app(database)) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The running app, shared by all tests: each signs up people of its own. It is noon there."""
    shared_site.clock.move_to(NOON)
    return shared_site


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """``visit(**options)``: somebody new with a browser; judged when the test ends."""
    with ExitStack() as visitors:
        yield lambda **options: visitors.enter_context(visitor(browser, site.url, **options))


@pytest.fixture
def learner(visit: Callable[..., Visitor], site: Site) -> Callable[..., Learner]:
    """``learner(path="/signup", **options)``: somebody who has just signed up."""

    def sign_up(path: str = "/signup", **options: object) -> Learner:
        return Learner(site, visit(**options), path)

    return sign_up


@pytest.fixture(scope="package")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host that shows the pages as they come, in English or German: see ``plain.py``."""
    with serving(make_plain_app(tmp_path_factory.mktemp("plain") / "plain.sqlite3")) as site:
        fill(site.app)
        yield site


@pytest.fixture
def visit_plain(browser: Browser, plain_site: Site) -> Iterator[Callable[..., Visitor]]:
    """``visit_plain(user, **options)``: ``user`` with a browser, logged in to the plain host."""
    with ExitStack() as visitors:

        def visit(user: str, **options: object) -> Visitor:
            found = visitors.enter_context(visitor(browser, plain_site.url, **options))
            found.context.request.post(f"{plain_site.url}/as/{user}")
            return found

        yield visit
