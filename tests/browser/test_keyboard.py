"""Everything can be reached and used without a mouse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .keyboard import obstacles
from .test_axe import OWN, STRANGERS
from .visitors import Visitor

pytestmark = pytest.mark.browser


def test_the_tab_key_reaches_everything_and_shows_where_it_is(
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit()
    page, found = visitor.open("/"), []
    for path in STRANGERS:
        page.goto(visitor.url + path)
        found += [f"{path}: {each}" for each in obstacles(page)]
    page = visitor.sign_up()
    for path in OWN:
        page.goto(visitor.url + path)
        found += [f"{path}: {each}" for each in obstacles(page)]
    assert not found
