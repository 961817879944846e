"""The demo, which has weeks of a small school in it: its pictures, and its admin's pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from example_app.demo import LOGINS

from .axe import faults
from .shots import LARGEST, SHOTS, show, take
from .site import NOON, Site, make_app, make_database, serving
from .visitors import DESKTOP, PHONE, Visitor, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser
PASSWORDS = {name: password for name, password, _ in LOGINS}
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    make_database(database, with_people=True)
    with serving(make_app(database)) as site:
        yield site


def log_in(visitor: Visitor, name: str) -> Page:
    """The page where the login of the demo's ``name`` leads; its clock shows the demo's time."""
    page = visitor.open("/login")
    page.clock.set_fixed_time(NOON)
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_label("Password").fill(PASSWORDS[name])
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Hello")
    return page


def test_the_docs_show_the_pages_as_they_are(browser: Browser, demo: Site, tmp_path: Path) -> None:
    folder = Path(os.environ.get("COINS_TEST_SHOTS", tmp_path))
    for name, shots in SHOTS.items():
        with visitor(browser, demo.url, reduced_motion="reduce") as somebody:
            page = log_in(somebody, name)
            for file, shot in shots.items():
                show(page, demo.url, shot)
                page.wait_for_load_state("networkidle")
                take(page, folder / f"{file}.png")
    for file in folder.glob("*.png"):
        in_docs = DOCS / "images" / file.name
        assert size_of(file) == size_of(in_docs)
        assert max(file.stat().st_size, in_docs.stat().st_size) <= LARGEST
        assert f"](images/{file.name})" in (DOCS / "tour.md").read_text()


def test_the_admin_is_warned_of_what_pays_too_much(browser: Browser, demo: Site) -> None:
    with visitor(browser, demo.url) as somebody:
        page = log_in(somebody, "admin")
        page.get_by_role("link", name="Admin", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text("25 paid today, and you expect 20 at most")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_pages_of_the_admin(
    browser: Browser, demo: Site, viewport: dict[str, int], scheme: str
) -> None:
    with visitor(browser, demo.url, viewport=viewport, color_scheme=scheme) as somebody:
        page = log_in(somebody, "admin")
        paths = ["/coins/admin/", "/coins/admin/user?id=2", "/coins/admin/adjustments"]
        assert not [each for path in paths for each in faults(page, demo.url + path)]


def size_of(picture: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(picture) as opened:
        return opened.size
