"""Fixtures of the tests that run in a browser.

They are skipped where the extra ``browser`` or Chromium is lacking, unless
COINS_TEST_REQUIRE_BROWSER=1 wants them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .site import NOON, Site, make_database, running
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
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that each site begins with a copy of."""
    file = tmp_path_factory.mktemp("template") / "demo.sqlite3"
    make_database(file)
    return file


@pytest.fixture(scope="package")
def shared_site(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(template, tmp_path_factory.mktemp("site") / "site.sqlite3") as site:
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
