"""What admins do to coins: shown first, done once, kept in the log, or nothing was changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsRetry

from .admins import ADMIN, Office, hidden, words

ANN = {"id": 7}


@pytest.fixture
def office(db: SQLAlchemy, coins: Coins) -> Office:
    office = Office(db, coins)
    office.move("award", 7, 50, "daily_goal")
    return office


# -- paying and taking ----------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "amount"), [("award", 5), ("spend", -5)])
def test_an_adjustment_is_an_entry_with_who_and_why(
    office: Office, direction: str, amount: int
) -> None:
    done = office.do("adjust", ANN, direction=direction, amount="5", note="a broken quest")
    entry = office.entries(7)[0]
    assert (entry.amount, entry.reason) == (amount, "adjustment")
    assert entry.details == {"by": "1", "note": "a broken quest"}
    assert done.status_code == 303
    page = office.browser.get(done.location)
    assert f"Entry {entry.id} of the log has it" in words(page)


def test_the_admins_name_is_kept_where_the_host_gives_one(office: Office) -> None:
    office.coins.user_names_loader(lambda ids: {ADMIN: "Grace"})
    office.do("adjust", ANN, direction="award", amount="5")
    assert office.entries(7)[0].details["name"] == "Grace"


def test_a_host_may_name_more_than_it_is_asked_for(office: Office) -> None:
    office.coins.user_names_loader(lambda ids: {7: "Ann", 8: "Bob"})
    office.do("adjust", ANN, direction="award", amount="5")
    assert office.entries(7)[0].details == {"by": "1", "note": "why not"}


def test_before_it_is_done_it_says_what_it_does(office: Office) -> None:
    office.move("hold", 7, 10, "reserved")
    preview = office.preview("adjust", ANN, direction="spend", amount="15")
    assert "7 40 −15 coins 25 Why: why not" in words(preview)
    assert len(office.entries(7)) == 1


def test_a_double_click_pays_once(office: Office) -> None:
    sure = hidden(office.preview("adjust", ANN, direction="award", amount="5"))
    first, second = office.post("adjust", **sure), office.post("adjust", **sure)
    assert (first.status_code, first.location) == (303, second.location)
    assert office.entries(7)[0].balance_after == 55


def test_a_form_that_is_changed_after_it_was_sent_moves_nothing_more(office: Office) -> None:
    sure = hidden(office.preview("adjust", ANN, direction="award", amount="5"))
    office.post("adjust", **sure)
    again = office.post("adjust", **sure | {"amount": "6"})
    assert again.status_code == 400
    assert "open it anew" in words(again)
    assert office.entries(7)[0].balance_after == 55


def test_only_a_post_moves_coins(office: Office) -> None:
    sure = hidden(office.preview("adjust", ANN, direction="award", amount="5"))
    for method in ("HEAD", "GET"):
        answer = office.browser.open("/coins/admin/adjust?id=7", method=method, data=sure)
        assert answer.status_code == 200
    assert len(office.entries(7)) == 1


def test_other_currencies(office: Office) -> None:
    office.do("adjust", ANN, direction="award", amount="3", currency="gems")
    assert office.entries(7, "gems")[0].amount == 3


def test_the_reason_is_a_setting(db: SQLAlchemy, coins: Coins) -> None:
    office = Office(db, coins, COINS_ADJUSTMENT_REASON="by_staff")
    office.do("adjust", ANN, direction="award", amount="3")
    assert office.entries(7)[0].reason == "by_staff"
    assert "why not" in words(office.get("adjustments"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"amount": ""}, "Say how many coins."),
        ({"amount": "0"}, "A whole number from 1"),
        ({"amount": "-3"}, "A whole number from 1"),
        ({"amount": "2.5"}, "A whole number from 1"),
        ({"amount": "٣"}, "A whole number from 1"),
        ({"amount": "9" * 5000}, "A whole number from 1"),
        ({"amount": "1000000000000000"}, "A whole number from 1"),
        ({"direction": "steal"}, "Say whether coins are to be paid or taken."),
        ({"note": " "}, "Say why, in up to 500 characters."),
        ({"note": "x" * 501}, "Say why, in up to 500 characters."),
        ({"note": "a\x00b"}, "Say why, in up to 500 characters."),
        ({"direction": "spend", "amount": "51"}, "only 50 coins can be taken"),
        ({"key": ""}, "open it anew"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_changed(
    office: Office, wrong: dict[str, str], told: str
) -> None:
    right = {"direction": "award", "amount": "5", "note": "because"}
    sent = hidden(office.get("adjust", **ANN)) | {"currency": "coins"} | right | wrong
    for step in ({}, {"confirmed": "yes"}):
        refused = office.post("adjust", **sent, **step)
        assert refused.status_code == 400
        assert told in words(refused)
    assert len(office.entries(7)) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"amount": "999999999999999"}, "A balance cannot pass 999,999,999,999,999"),
        ({"key": "x" * 200}, "An idempotency key must have 1 to 128 characters"),
    ],
)
def test_what_the_ledger_refuses_is_told_too(
    office: Office, wrong: dict[str, str], told: str
) -> None:
    sure = hidden(office.preview("adjust", ANN, direction="award", amount="5"))
    refused = office.post("adjust", **sure | wrong)
    assert (refused.status_code, told in words(refused)) == (400, True)
    assert len(office.entries(7)) == 1


@pytest.mark.parametrize("query", [{"id": ""}, {"id": "x" * 65}, {"id": "7", "currency": "x" * 17}])
def test_a_form_for_nobody_is_not_opened(office: Office, query: dict[str, str]) -> None:
    assert office.get("adjust", **query).status_code == 400


def test_what_was_filled_in_is_there_again(office: Office) -> None:
    refused = office.preview("adjust", ANN, direction="spend", amount="51", note="<b>&\"'")
    assert 'value="51"' in refused.text
    assert 'value="&lt;b&gt;&amp;&#34;&#39;"' in refused.text


def test_who_may_not_be_paid_is_not_paid_by_admins_either(office: Office) -> None:
    office.coins.eligible_check(lambda user_id, reason: False)
    refused = office.do("adjust", ANN, direction="award", amount="5")
    assert "eligible_check" in words(refused)
    assert len(office.entries(7)) == 1


def test_budgets_hold_for_admins_too(db: SQLAlchemy, coins: Coins) -> None:
    office = Office(db, coins, COINS_BUDGETS=[{"most": 4, "window": "day", "per": "app"}])
    refused = office.do("adjust", ANN, direction="award", amount="5")
    assert "A budget of COINS_BUDGETS has only 4 coins left." in words(refused)
    assert office.entries(7) == []


def test_no_coins_go_to_somebody_who_was_erased(office: Office) -> None:
    office.move("forget", 7)
    with office.app.app_context():
        forgotten = office.db.session.scalar(sa.text("SELECT user_id FROM coin_balance"))
    assert "daily_goal" in words(office.get("user", id=forgotten))
    refused = office.do("adjust", {"id": forgotten}, direction="award", amount="5")
    assert "was erased" in words(refused)


def test_a_busy_database_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    sure = hidden(office.preview("adjust", ANN, direction="award", amount="5"))

    def busy(*args: Any) -> None:
        raise CoinsRetry

    monkeypatch.setattr("flask_coins._ledger.Ledger.award", busy)
    assert "the database was busy" in words(office.post("adjust", **sure))
    monkeypatch.undo()
    assert office.post("adjust", **sure).status_code == 303
    assert office.entries(7)[0].balance_after == 55


# -- taking back ----------------------------------------------------------------------------------


def test_a_part_of_an_entry_is_taken_back_then_the_rest(office: Office) -> None:
    [entry] = office.entries(7)
    office.do("reverse", {"entry": entry.id}, amount="20", note="half of it was wrong")
    back = office.entries(7)[0]
    assert (back.amount, back.reverses_id, back.reason) == (-20, entry.id, "adjustment")
    assert back.details == {"by": "1", "note": "half of it was wrong"}
    assert "30 left" in words(office.get("user", id=7))
    assert 'name="amount" inputmode="numeric" pattern="[0-9]+" required' in (
        office.get("reverse", entry=entry.id).text
    )
    office.do("reverse", {"entry": entry.id}, amount="30")
    assert office.entries(7)[0].balance_after == 0
    assert "All of it has been taken back." in words(office.get("reverse", entry=entry.id))


def test_without_an_amount_all_of_it_is_meant_and_a_double_click_takes_it_once(
    office: Office,
) -> None:
    [entry] = office.entries(7)
    sure = hidden(office.preview("reverse", {"entry": entry.id}))
    assert sure["amount"] == "50"
    first, second = office.post("reverse", **sure), office.post("reverse", **sure)
    assert (first.status_code, first.location) == (303, second.location)
    assert [each.amount for each in office.entries(7)] == [-50, 50]


def test_of_a_transfer_both_sides_are_shown_and_taken_back(office: Office) -> None:
    office.move("transfer", 7, 8, 30)
    received = office.entries(8)[0]
    preview = office.preview("reverse", {"entry": received.id})
    assert "8 30 −30 coins 0 7 20 +30 coins 50" in words(preview)
    office.post("reverse", **hidden(preview))
    assert (office.entries(7)[0].balance_after, office.entries(8)[0].balance_after) == (50, 0)


def test_more_than_is_left_is_not_taken_back(office: Office) -> None:
    [entry] = office.entries(7)
    refused = office.preview("reverse", {"entry": entry.id}, amount="51")
    assert "No more than 50 coins can be taken back." in words(refused)


def test_more_than_there_is_is_not_taken_back(office: Office) -> None:
    [entry] = office.entries(7)
    office.move("spend", 7, 45, "hat")
    refused = office.preview("reverse", {"entry": entry.id})
    assert (refused.status_code, len(office.entries(7))) == (400, 2)
    assert "only 5 coins can be taken" in words(refused)


def test_two_admins_take_an_entry_back_once(office: Office) -> None:
    [entry] = office.entries(7)
    office.move("award", 7, 50, "more")
    one, other = (hidden(office.preview("reverse", {"entry": entry.id})) for _ in range(2))
    office.post("reverse", **one)
    refused = office.post("reverse", **other)
    assert "nothing of this entry is left to be taken back" in words(refused)
    assert office.entries(7)[0].balance_after == 50


def test_a_reversal_is_not_taken_back(office: Office) -> None:
    [entry] = office.entries(7)
    office.do("reverse", {"entry": entry.id})
    reversal = office.entries(7)[0]
    page = office.get("reverse", entry=reversal.id)
    assert "It cannot be taken back itself" in words(page)
    assert 'method="post"' not in page.text


@pytest.mark.parametrize("path", ["reverse", "release"])
@pytest.mark.parametrize("number", ["", "99"])
def test_what_is_not_there_is_not_found(office: Office, path: str, number: str) -> None:
    assert office.get(path, entry=number, hold=number).status_code == 404


# -- holds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("details", [None, {"order": 3}, ["kept"]])
def test_a_hold_is_released_once_with_who_and_why(office: Office, details: Any) -> None:
    hold = office.move("hold", 7, 30, "reserved", details=details)
    preview = office.preview("release", {"hold": hold.id}, note="sold out")
    assert "7 20 +30 coins 50" in words(preview)
    first, second = (office.post("release", **hidden(preview)) for _ in range(2))
    assert (first.status_code, first.location) == (303, second.location)
    assert f"Hold {hold.id} is closed" in words(office.browser.get(first.location))
    kept = office.move("release", hold.id)
    before = (
        {} if details is None else details if isinstance(details, dict) else {"details": details}
    )
    assert kept.status == "released"
    assert kept.details == before | {"release": {"by": "1", "note": "sold out"}}


def test_a_hold_that_was_captured_meanwhile_is_told(office: Office) -> None:
    hold = office.move("hold", 7, 30, "reserved")
    sure = hidden(office.preview("release", {"hold": hold.id}))
    office.move("capture", hold)
    refused = office.post("release", **sure)
    assert (refused.status_code, "was captured" in words(refused)) == (400, True)


def test_a_closed_hold_has_no_form(office: Office) -> None:
    hold = office.move("hold", 7, 30, "reserved")
    office.move("release", hold)
    assert "This hold is closed already." in words(office.get("release", hold=hold.id))


def test_an_overdue_hold_counts_no_more(office: Office, clock: Any) -> None:
    office.move("hold", 7, 30, "reserved", expires_in=timedelta(hours=1))
    assert "Open holds" in words(office.get("user", id=7))
    clock.forward(hours=1)
    assert "Open holds" not in words(office.get("user", id=7))


# -- telling --------------------------------------------------------------------------------------


def test_an_admin_is_not_told_as_if_the_coins_were_their_own(office: Office) -> None:
    done = office.do("adjust", ANN, direction="award", amount="5")
    assert "Coins-Awarded" not in done.headers
    page = office.browser.get(done.location)
    assert "coins-toast-words" not in page.text.partition("<template>")[0]
