"""The admin pages: who may see them, and what they show of whom."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, DictLoader

from flask_coins import Coins, CoinsError, InvalidInput, _admin_reads

from .admins import Office, hidden, words
from .apps import Clock
from .statements import statements

MOVES = ("adjust", "reverse", "release")


@pytest.fixture
def office(db: SQLAlchemy, coins: Coins) -> Office:
    return Office(db, coins)


# -- who may --------------------------------------------------------------------------------------


def rules(app: Flask) -> Iterator[tuple[str, str]]:
    """Each method and address of the admin pages."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("coins.admin_"):
            for method in (rule.methods or set()) - {"OPTIONS"}:
                yield method, rule.rule


def test_nobody_else_gets_in_by_any_address_whatever_is_there(office: Office) -> None:
    hold = office.move("hold", office.move("award", 7, 50, "r").entry.user_id, 5, "h")
    query = {"id": "7", "entry": "1", "hold": str(hold.id)}
    tried = list(rules(office.app))
    for who in (7, 8):
        office.who = who
        for method, path in tried:
            there = office.browser.open(path, method=method, query_string=query)
            nowhere = office.browser.open(path, method=method, query_string={"id": "\0"})
            assert there.status_code == nowhere.status_code == 403, path
            assert there.data == nowhere.data
    assert len(tried) > 10


def test_until_the_host_says_who_nobody_may(office: Office) -> None:
    office.coins._loaders.is_admin = lambda: False
    assert office.get("").status_code == 403


def test_nobody_logged_in_gets_in_by_any_address(office: Office) -> None:
    office.who = None  # type: ignore[assignment]
    assert {office.browser.open(p, method=m).status_code for m, p in rules(office.app)} == {401}


def test_nobody_logged_in_is_sent_to_the_login_page(office: Office) -> None:
    office.who = None  # type: ignore[assignment]
    login = LoginManager(office.app)
    login.login_view = "log_in"
    office.app.add_url_rule("/log-in", "log_in", lambda: "")
    sent = office.get("user", id=7)
    assert sent.status_code == 302
    assert sent.location.startswith("/log-in?next=")


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_what_is_false_lets_nobody_in(office: Office, answer: Any) -> None:
    office.coins.admin_check(lambda: answer)
    assert office.get("").status_code == 403


def test_a_check_that_would_have_to_be_awaited_is_refused(office: Office) -> None:
    async def check() -> bool:
        return False

    with pytest.raises(InvalidInput, match="admin_check cannot be async"):
        office.coins.admin_check(check)
    office.coins.admin_check(lambda: check() or True)
    with pytest.raises(CoinsError, match="not something to be awaited"):
        office.get("")


def test_a_check_that_nobody_called_is_no_yes(office: Office) -> None:
    office.coins.admin_check(lambda: "".isalpha)  # without its ()
    with pytest.raises(CoinsError, match="not something to be called"):
        office.get("")


def test_a_fault_of_the_app_is_not_the_admins(office: Office) -> None:
    office.move("award", 7, 5)
    office.coins.user_names_loader(lambda user_ids: ["Ann"])
    with pytest.raises(CoinsError, match="a dict of ids and names"):
        office.get("user", id=7)


def test_no_page_can_be_framed_or_kept(office: Office) -> None:
    headers = office.get("").headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "private, no-store"


# -- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MOVES)
def test_a_form_without_its_token_is_refused(office: Office, path: str) -> None:
    office.move("award", 7, 50, "r")
    hold = office.move("hold", 7, 5, "h")
    sent = {"id": "7", "entry": "1", "hold": str(hold.id), "amount": "1", "direction": "award"}
    refused = office.post(path, key="k", note="n", confirmed="yes", **sent)
    assert refused.status_code == 400
    assert "reload the page" in refused.text
    assert len(office.entries(7)) == 1


def test_an_exempt_blueprint_opens_no_form(office: Office) -> None:
    CSRFProtect(office.app).exempt(office.coins.blueprint)
    assert office.post("adjust", id="7").status_code == 400
    assert office.do("adjust", {"id": 7}, direction="award", amount="5").status_code == 303


@pytest.mark.parametrize("path", MOVES)
def test_get_changes_nothing(office: Office, path: str) -> None:
    office.move("award", 7, 50, "r")
    hold = office.move("hold", 7, 5, "h")
    sent = {"id": "7", "entry": "1", "hold": hold.id, "amount": "1", "direction": "award"}
    assert office.get(path, key="k", note="n", confirmed="yes", **sent).status_code == 200
    assert len(office.entries(7)) == 1
    assert "Open holds" in words(office.get("user", id=7))


# -- one user -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [
        "7",
        "a/b",
        "../x",
        "//",
        "100%",
        "%41",
        "student:1",
        "two words",
        " x",
        "Zoë☃",
        "<b>",
        "a?b#c&d=e+f",
    ],
)
def test_any_id_is_found_and_its_forms_lead_back(office: Office, user: str) -> None:
    office.move("award", user, 50, "daily_goal")
    page = office.get("user", id=user)
    assert "Daily goal" in words(page)
    done = office.do("adjust", {"id": user}, direction="award", amount="5")
    assert "Done: +5 coins." in words(office.browser.get(done.location))


def test_the_field_to_find_a_user_forgives_a_space_behind(office: Office) -> None:
    office.move("award", 7, 50, "daily_goal")
    assert "Daily goal" in words(office.get("user", id="7 "))
    assert office.get("user", id="").location == "/coins/admin/"


def test_a_name_is_shown_as_it_is(office: Office) -> None:
    office.coins.user_names_loader(lambda ids: {7: "O'Brien & <b>"})
    assert words(office.get("user", id=7)).count("O'Brien & <b> (7)") == 1
    assert (
        "<title>Coins of O&#39;Brien &amp; &lt;b&gt; (7)</title>" in office.get("user", id=7).text
    )


def test_a_name_cannot_turn_an_id_round(office: Office) -> None:
    name = "Ann\N{RIGHT-TO-LEFT OVERRIDE}"
    office.coins.user_names_loader(lambda ids: {"71": name})
    office.move("award", "71", 5, "quest")
    apart = f'<bdi>{name}</bdi> <span class="coins-soft"><bdi>71</bdi></span>'
    for path in ("", "adjust", "reverse"):
        assert apart in office.get(path, id="71", entry="1").text
    sure = office.preview("adjust", {"id": "71"}, direction="award", amount="5")
    assert f"<bdi>{name}</bdi> (<bdi>71</bdi>)" in sure.text


def test_a_user_has_balances_holds_and_entries(office: Office) -> None:
    office.coins.user_names_loader(lambda ids: {7: "Ann", "8": "Bob"})
    office.move("award", 7, 1050, "daily_goal", subject="math", details={"score": "é"})
    office.move("award", 7, 3, "found", currency="gems")
    office.move("transfer", 7, 8, 5)
    office.move("hold", 7, 30, "reserved")
    said = words(office.get("user", id=7))
    assert "Coins of Ann (7)" in said
    assert "coins 1,045 30 1,015 1,050 5" in said
    assert "gems 3 0 3 3 0" in said
    assert "30 coins Reserved 22 November 2026, 12:00 Never Release hold" in said
    assert "−5 coins Transfer transfer With Bob 8 1,045" in said
    assert (
        '+1,050 coins Daily goal daily_goal math 1,050 22 November 2026, 12:00 {"score": "é"}'
        in said
    )
    assert "found" not in said


def test_somebody_without_coins_is_doubted(office: Office) -> None:
    assert "No coins have ever moved under this id." in words(office.get("user", id="typo"))


def test_stored_texts_are_escaped(office: Office) -> None:
    bad = "<script>x</script>"
    office.coins.user_names_loader(lambda ids: dict.fromkeys(ids, bad))
    office.move("award", bad, 5, bad, subject=bad, currency="<i>", details={"by": bad, "note": bad})
    office.move("hold", bad, 1, bad, subject=bad, currency="<i>", details=[bad])
    office.do("adjust", {"id": bad, "currency": "<i>"}, direction="award", amount="1", note=bad)
    pages = [office.get("user", id=bad, currency="<i>"), office.get("adjustments")]
    pages += [office.get("reverse", entry=1), office.get("release", hold=1)]
    for page in pages:
        assert "&lt;script&gt;x" in page.text
        assert "<script>" not in page.text
        assert "<i>" not in page.text


def test_pages_show_each_entry_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_coins.blueprint._admin._PAGE", 2)
    for number in range(5):
        office.move("award", 7, number + 1, "r")
    shown, path = [], "/coins/admin/user?id=7"
    while path:
        page = office.browser.get(path)
        shown += re.findall(r'id="entry-(\d+)"', page.text)
        following = re.search(r'rel="next" href="(.+?)"', page.text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert shown == ["5", "4", "3", "2", "1"]


def test_a_page_of_a_user_takes_four_statements_however_long_the_history(office: Office) -> None:
    for number in (3, 60):
        for _ in range(number):
            office.move("award", 7, 1, "r")
        with office.app.app_context(), statements(office.db.engine) as seen:
            office.get("user", id=7)
        assert len(seen) == 4


def test_entries_are_chosen_by_currency_reason_and_days_of_the_app(
    db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    office = Office(db, coins, COINS_TIMEZONE="Pacific/Auckland")  # UTC+13 in November
    for reason in ("a", "b"):
        office.move("award", 7, 1, reason)
        office.move("award", 7, 1, reason, currency="gems")
    clock.forward(days=1)
    office.move("award", 7, 1, "a")

    def ids(**query: Any) -> list[str]:
        return re.findall(r'id="entry-(\d+)"', office.get("user", id=7, **query).text)

    assert ids() == ["5", "3", "1"]
    assert ids(currency="gems") == ["4", "2"]
    assert ids(reason="a") == ["5", "1"]
    assert ids(since="2026-11-24") == ["5"]
    assert ids(until="2026-11-23", reason="a") == ["1"]
    assert ids(since="2026-11-23", until="2026-11-23") == ["3", "1"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x" * 65},
        {"id": "\0"},
        {"currency": "x" * 17},
        {"reason": "x" * 65},
        {"reason": "a\0b"},
        {"since": "yesterday"},
        {"since": "0001-01-01"},
        {"until": "9999-12-31"},
    ],
)
def test_who_and_when_cannot_be_just_anything(office: Office, wrong: dict[str, str]) -> None:
    for path in ("user", "entries.csv"):
        assert office.get(path, **{"id": "7", **wrong}).status_code == 400


@pytest.mark.parametrize("number", ["0", "-1", "x", "١", str(2**63), "9" * 5000])
def test_a_number_is_that_of_an_entry(office: Office, number: str) -> None:
    assert office.get("user", id=7, before=number).status_code == 400
    assert office.get("user", id=7, done=number).status_code == 400
    assert office.get("adjustments", before=number).status_code == 400


def test_a_message_that_somebody_made_up_is_not_shown(office: Office) -> None:
    office.move("award", 8, 5, "r")
    hold = office.move("hold", 8, 5, "h")
    for made_up in ({"done": 1}, {"done": 99}, {"released": hold.id}, {"released": 99}):
        assert 'role="status">' not in office.get("user", id=7, **made_up).text.replace(
            'role="status" data-coins-toasts', ""
        )


# -- everybody's adjustments ----------------------------------------------------------------------


def test_adjustments_show_who_did_what_to_whom_and_why(office: Office) -> None:
    office.move("award", 7, 50, "daily_goal")
    office.do("reverse", {"entry": 1}, amount="20", note="cheated")
    office.do("adjust", {"id": 1}, direction="award", amount="9", note="for myself")
    said = words(office.get("adjustments"))
    assert "1 +9 coins 1: for myself Own coins" in said
    assert "7 −20 coins 1: cheated Takes back entry 1" in said
    assert "daily_goal" not in said


def test_adjustments_are_looked_for_in_stretches(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admin_reads, "STRETCH", 3)
    office.do("adjust", {"id": 7}, direction="award", amount="9", note="long ago")
    for _ in range(5):
        office.move("award", 7, 1, "r")
    page = office.get("adjustments")
    assert "None among these entries of the log." in words(page)
    assert "long ago" in words(office.get("adjustments", before=4))
    assert 'href="/coins/admin/adjustments?before=4"' in office.get("adjustments", before=7).text
    assert "Look further back" not in words(office.get("adjustments", before=4))


# -- CSV ------------------------------------------------------------------------------------------


def rows_of(office: Office, **query: Any) -> list[dict[str, str]]:
    text = office.get("entries.csv", **query).data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_csv_has_every_column_of_whom_it_was_asked_for(office: Office) -> None:
    office.move("award", 7, 50, "daily_goal", subject="é", details={"a": 1})
    office.move("award", 8, 50, "daily_goal")
    [row] = rows_of(office, id=7)
    assert row["user_id"] == "7"
    assert row["created_at"] == "2026-11-22T12:00:00Z"
    assert (row["subject"], row["details"]) == ("é", '{"a": 1}')
    assert [each["user_id"] for each in rows_of(office)] == ["7", "8"]


def test_the_csv_is_a_file_with_a_harmless_name(office: Office) -> None:
    response = office.get("entries.csv", id='7/";\r\n☃')
    assert response.status_code == 400
    with office.get("entries.csv", id='../7";☃') as response:
        assert response.mimetype == "text/csv"
        assert response.headers["Content-Disposition"].startswith("attachment; filename")
        assert "/7" not in response.headers["Content-Disposition"]
        assert response.headers["Content-Disposition"].isascii()  # servers send no others
        assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("bad", ["=1+1", "+1", "-1", "@x"])
def test_a_spreadsheet_finds_no_formula(office: Office, bad: str) -> None:
    office.move("award", bad, 5, bad, subject=bad)
    [row] = rows_of(office)
    assert (row["user_id"], row["reason"], row["subject"]) == (f"'{bad}",) * 3


def test_the_csv_comes_in_chunks_of_a_bounded_size(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admin_reads, "_CHUNK", 2)
    for _ in range(5):
        office.move("award", 7, 1, "r")
    parts = [part.decode() for part in office.get("entries.csv").response if part]
    assert [part.count("\n") for part in parts] == [1, 2, 2, 1]
    assert [row["id"] for row in rows_of(office)] == ["1", "2", "3", "4", "5"]


# -- the markup -----------------------------------------------------------------------------------


def test_no_page_needs_more_than_a_strict_policy_allows(office: Office) -> None:
    office.move("award", 7, 50, "daily_goal")
    office.move("hold", 7, 5, "h")
    pages = [office.get(""), office.get("user", id=7), office.get("adjustments")]
    pages += [office.get("adjust", id=7), office.get("reverse", entry=1)]
    pages.append(office.preview("adjust", {"id": 7}, direction="award", amount="1"))
    for page in pages:
        assert page.status_code == 200
        assert not re.search(r"style=|<style|<script(?! src=)|\son\w+=|https?://", page.text)


def template(office: Office, name: str, text: str) -> None:
    """Give the host a template of its own."""
    loader = office.app.jinja_loader
    office.app.jinja_loader = ChoiceLoader([DictLoader({name: text}), loader])


def test_a_hosts_own_layout_takes_the_pages_in(office: Office) -> None:
    template(office, "coins/base.html", "mine: {% block content %}{% endblock %}")
    assert office.get("adjustments").text.startswith("mine:")
    assert hidden(office.get("adjust", id=7))["id"] == "7"


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        ("overview", ["alerts", "now", "days", "reasons", "earners"]),
        ("user", ["balances", "holds", "entries"]),
    ],
)
def test_a_host_changes_one_block(office: Office, page: str, blocks: list[str]) -> None:
    text = "{% extends 'flask_coins/admin/" + page + ".html' %}"
    text += "".join(f"{{% block {name} %}}my {name}{{% endblock %}}" for name in blocks)
    template(office, f"coins/admin/{page}.html", text)
    said = words(office.get({"overview": "", "user": "user"}[page], id=7))
    assert all(f"my {name}" in said for name in blocks)
    assert "Find a user by id" in said
