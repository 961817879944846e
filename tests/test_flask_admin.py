"""The tables as views of Flask-Admin: read by admins, and changed only through the ledger."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask_babel import Babel
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from werkzeug.test import TestResponse

from flask_coins import Coins, InvalidInput

from .admins import Office

flask_admin = pytest.importorskip("flask_admin")
VIEWS = ("coin_entries", "coin_balances", "coin_holds")


@pytest.fixture
def office(db: SQLAlchemy, coins: Coins) -> Office:
    from flask_coins.flask_admin import add_views

    office = Office(db, coins)
    Babel(office.app)  # where it is installed, Flask-Admin takes it that it is set up
    add_views(flask_admin.Admin(office.app), db)
    return office


def act(office: Office, view: str, name: str, *ids: int, **sent: str) -> TestResponse:
    """What Flask-Admin's script sends when an action is chosen for ``ids``."""
    page = office.browser.get(f"/admin/{view}/").text
    form = re.search(r'<form id="action_form".*?</form>', page, re.S)
    assert form
    fields = dict(re.findall(r'type="hidden" name="(.+?)" value="(.*?)"', form[0]))
    data: dict[str, Any] = fields | {"action": name, "rowid": [str(each) for each in ids]} | sent
    return office.browser.post(f"/admin/{view}/action/", data=data, follow_redirects=True)


def test_what_is_mixed_up_is_told(office: Office, coins: Coins) -> None:
    from flask_coins.flask_admin import add_views

    with pytest.raises(InvalidInput, match="db is Flask-SQLAlchemy's"):
        add_views(flask_admin.Admin(), coins)
    with pytest.raises(InvalidInput, match="admin is Flask-Admin's"):
        add_views(office.app, coins)


def test_admins_see_every_table_with_links_to_users(office: Office) -> None:
    office.move("award", "a/b", 50, "daily_goal")
    office.move("hold", "a/b", 5, "reserved")
    for view in VIEWS:
        page = office.browser.get(f"/admin/{view}/")
        assert page.status_code == 200
        assert "/coins/admin/user?id=a/b&amp;currency=coins" in page.text
    assert "daily_goal" in office.browser.get("/admin/coin_entries/").text
    assert "50" in office.browser.get("/admin/coin_entries/details/?id=1").text


@pytest.mark.parametrize("view", VIEWS)
def test_nobody_else_sees_them(office: Office, view: str) -> None:
    office.move("award", 7, 50, "daily_goal")
    office.who = 7
    for path in ("", "details/?id=1", "export/csv/"):
        assert office.browser.get(f"/admin/{view}/{path}").status_code == 403
    assert office.browser.post(f"/admin/{view}/action/").status_code == 403
    office.who = None  # type: ignore[assignment]
    assert office.browser.get(f"/admin/{view}/").status_code == 401


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_made_edited_or_deleted(office: Office, view: str) -> None:
    office.move("award", 7, 50, "daily_goal")
    sent = {"id": "1", "user_id": "7", "amount": "99", "balance": "99"}
    for path in ("new/", "edit/?id=1", "delete/", "ajax/update/"):
        office.browser.post(f"/admin/{view}/{path}", data=sent)
    assert [each.balance_after for each in office.entries(7)] == [50]


def test_entries_are_taken_back_through_the_ledger(office: Office) -> None:
    first, second = (office.move("award", 7, n, "r").entry.id for n in (10, 20))
    assert "Done." in act(office, "coin_entries", "take_back", first, second).text
    [two, one] = office.entries(7)[:2]
    assert (one.reverses_id, two.reverses_id, two.balance_after) == (first, second, 0)
    assert one.details == {"by": "1", "note": "Flask-Admin"}
    act(office, "coin_entries", "take_back", first)
    assert len(office.entries(7)) == 4


def test_all_of_them_or_none(office: Office) -> None:
    first, second = (office.move("award", 7, n, "r").entry.id for n in (10, 20))
    office.move("spend", 7, 15, "hat")
    refused = act(office, "coin_entries", "take_back", first, second).text
    assert "Nothing was changed: 20 coins are needed, 5 are there." in html.unescape(refused)
    assert len(office.entries(7)) == 3


def test_holds_are_released(office: Office) -> None:
    office.move("award", 7, 50, "r")
    hold = office.move("hold", 7, 20, "h")
    act(office, "coin_holds", "release", hold.id)
    kept = office.move("release", hold.id)
    assert kept.status == "released"
    assert kept.details == {"release": {"by": "1", "note": "Flask-Admin"}}


@pytest.mark.parametrize("with_flask_wtf", [False, True])
def test_an_action_needs_the_token_of_its_form(office: Office, with_flask_wtf: bool) -> None:
    entry = office.move("award", 7, 10, "r").entry.id
    if with_flask_wtf:
        CSRFProtect(office.app)
    name = "csrf_token" if with_flask_wtf else "coins_csrf"
    assert act(office, "coin_entries", "take_back", entry, **{name: "x"}).status_code == 400
    assert len(office.entries(7)) == 1
    assert act(office, "coin_entries", "take_back", entry).status_code == 200
    assert len(office.entries(7)) == 2


@pytest.mark.parametrize(
    ("view", "name"), [("coin_entries", "take_back"), ("coin_holds", "release")]
)
def test_what_is_no_id_is_a_bad_request(office: Office, view: str, name: str) -> None:
    office.move("award", 7, 50, "daily_goal")
    office.move("hold", 7, 5, "reserved")
    answer = act(office, view, name, "x")  # type: ignore[arg-type]
    assert answer.status_code == 400
