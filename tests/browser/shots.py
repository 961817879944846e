"""Pictures of pages for the docs: of the same people at the same moment, whenever they are taken.

``COINS_TEST_SHOTS=docs/images pytest tests/browser/test_demo.py`` takes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Page

LARGEST = 150_000
"""So many bytes at most, of each."""


class Shot(NamedTuple):
    """One picture: where the page is, None for where a login leads, and on what kind of screen."""

    path: str | None
    size: tuple[int, int] = (1280, 900)
    scheme: Literal["light", "dark"] = "light"


SHOTS = {
    "demo": {
        "toast": Shot(None),
        "wallet": Shot("/coins/"),
        "wallet-dark": Shot("/coins/", scheme="dark"),
        "wallet-phone": Shot("/coins/", size=(390, 844)),
        "leaderboard": Shot("/coins/leaderboard"),
        "goals": Shot("/goals/"),
        "shop": Shot("/shop/"),
    },
    "admin": {
        "admin": Shot("/coins/admin/", size=(1280, 1000)),
        "admin-ledger": Shot("/coins/admin/user?id=2"),
    },
}
"""The pictures by their names, of each who logs in."""


def show(page: Page, url: str, shot: Shot) -> None:
    """Bring ``page`` to what ``shot`` is of."""
    width, height = shot.size
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=shot.scheme, reduced_motion="reduce")
    if shot.path is not None:
        page.goto(url + shot.path)


def take(page: Page, file: Path) -> None:
    """Write what ``page`` shows to ``file``, as a PNG of 256 colours."""
    from PIL import Image

    page.screenshot(path=file, animations="disabled")
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
