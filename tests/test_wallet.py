"""The wallet page: what it shows of whom, by how few statements, and in whose look."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from flask import Flask, Response, render_template_string
from flask.testing import FlaskClient
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.pool import StaticPool

from flask_coins import Coins, award_once
from flask_coins.blueprint import _history_csv
from flask_coins.windows import Between

from .apps import APART, NOON, Clock, create_app
from .statements import statements

UTC = timezone.utc
SPACES = re.compile(r"\s+")
DOWNLOAD = "Download all of these as CSV"
COMPILED = FileSystemBytecodeCache(mkdtemp())
"""For all apps: compiling the templates takes longer than all else."""
Award = Callable[..., Any]
Read = Callable[..., str]


@pytest.fixture
def app(db: SQLAlchemy, coins: Coins, who: dict[str, Any], tmp_path: Path) -> Iterator[Flask]:
    """On SQLite alone, with a folder for templates."""
    (tmp_path / "templates").mkdir()
    options = {"poolclass": StaticPool}
    app = create_app("sqlite://", db, coins, import_name=APART, SQLALCHEMY_ENGINE_OPTIONS=options)
    app.root_path = str(tmp_path)
    app.jinja_env.bytecode_cache = COMPILED
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def pay(app: Flask, db: SQLAlchemy, coins: Coins) -> Award:
    """``pay(5, "bonus", user=7)``: an entry, committed; a negative amount is spent."""

    def move(amount: int, reason: str = "bonus", user: Any = 7, **more: Any) -> Any:
        with app.app_context():
            call = coins.award if amount > 0 else coins.spend
            receipt = call(user, abs(amount), reason, **more)
            db.session.commit()
        return receipt.entry

    return move


def plain(markup: str) -> str:
    """What a page says: its texts, one space between any two words."""
    body = re.sub(r"<(svg|template|head|option)\b.*?</\1>", " ", markup, flags=re.S)
    return SPACES.sub(" ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()


@pytest.fixture
def read(client: FlaskClient) -> Read:
    """``read("?show=earned", part="history")``: the words of the page, or of one of its cards."""

    def read(query: str = "", part: str = "", status: int = 200) -> str:
        response = client.get(f"/coins/{query}")
        assert response.status_code == status
        labelled = rf'<section [^>]*aria-labelledby="coins-{part}".*?</section>'
        found = re.search(labelled, response.text, re.S) if part else None
        return plain(found[0] if found else "" if part else response.text)

    return read


def reward(app: Flask, *args: Any, **more: Any) -> Any:
    """A rule that is on a view of ``app``."""
    rule = award_once(*args, **more)
    app.add_url_rule(f"/{rule.reason}", rule.reason, rule(lambda: "done"), methods=["POST"])
    return rule


# -- whose it is ----------------------------------------------------------------------------------


def test_everybody_sees_their_own(pay: Award, read: Read, who: dict[str, Any]) -> None:
    pay(50, "mine")
    pay(9000, "theirs", user=8)
    assert "Theirs" not in read()
    assert "50 coins" in read(part="balance")
    who["id"] = 8
    assert "9,000 coins" in read(part="balance")
    assert "Mine" not in read()


def test_no_parameter_shows_another(pay: Award, read: Read) -> None:
    theirs = pay(9000, "theirs", user=8).id
    for query in (
        "user=8",
        "user_id=8",
        f"before={theirs + 1}",
        f"before={theirs}",
        f"after={theirs}",
    ):
        assert "heirs" not in read(f"?{query}")


def test_nobody_is_sent_to_log_in(app: Flask, client: FlaskClient, who: dict[str, Any]) -> None:
    manager = LoginManager(app)
    who["id"] = None
    assert client.get("/coins/").status_code == 401
    manager.login_view = "/login"
    assert client.get("/coins/").location.startswith("/login?next=")


def test_it_is_kept_by_no_cache_but_its_files_are(client: FlaskClient) -> None:
    assert client.get("/coins/").headers["Cache-Control"] == "private, no-store"
    for name in ("coins.css", "coins.js", "coin.svg"):
        response = client.get(f"/coins/static/{name}")
        assert "no-store" not in response.headers["Cache-Control"]
        response.close()


def test_no_page_of_another_site_frames_it_unless_the_host_says_so(
    app: Flask, client: FlaskClient
) -> None:
    seen = []

    @app.after_request
    def allow(response: Response) -> Response:
        seen.append(response.headers.pop("X-Frame-Options"))
        return response

    assert "X-Frame-Options" not in client.get("/coins/").headers
    assert seen == ["SAMEORIGIN"]


def test_who_has_nothing_yet_is_told_so(read: Read) -> None:
    assert "0 coins Nothing has changed today." in read(part="balance")
    assert "Nothing yet: the first coins you earn will stand here." in read(part="history")


# -- balance --------------------------------------------------------------------------------------


def test_today_is_the_users_own_day(pay: Award, read: Read, coins: Coins, clock: Clock) -> None:
    coins.timezone_loader(lambda user_id: "Asia/Tokyo")  # where it is 21:00
    clock.forward(hours=-22)
    pay(100)
    clock.forward(hours=22)
    pay(15)
    pay(3)
    pay(-4, "hint")
    assert read(part="balance") == "Balance 114 coins Today +18 coins Today −4 coins"
    clock.forward(hours=3)
    assert "Nothing has changed today." in read(part="balance")


def test_what_is_set_aside_cannot_be_spent(
    pay: Award, read: Read, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    pay(100)
    assert "Set aside" not in read()
    with app.app_context():
        coins.hold(7, 30, "hat")
        db.session.commit()
    assert "To spend 70 Set aside 30" in read(part="balance")


def test_currencies_stand_side_by_side(pay: Award, read: Read, client: FlaskClient) -> None:
    pay(100, "a")
    assert 'aria-label="Currencies"' not in client.get("/coins/").text
    pay(5, "b", currency="gems")
    assert "100 coins 5 gems" in read()
    assert read("?currency=gems", "balance").startswith("Balance 5 gems Today +5 gems")
    assert read("?currency=gems", "history").endswith(f"B 12:00 +5 5 {DOWNLOAD}")
    assert "0 stars" in read("?currency=stars", "balance")


# -- rewards --------------------------------------------------------------------------------------


def test_rewards_say_how_they_stand(app: Flask, db: SQLAlchemy, coins: Coins, read: Read) -> None:
    season = Between("xmas", datetime(2026, 12, 1), datetime(2026, 12, 25))
    reward(app, 15, "goal", "day")
    paid = reward(app, 10, "login", "day")
    once = reward(app, 99, "welcome", "forever")
    thrice = reward(app, 5, "quiz", "week", limit=3)
    reward(app, 60, "boss", season)
    reward(app, 30, "exam", "forever", subject=lambda value: "x")
    reward(app, 1, "staff", "day")
    reward(app, 2, "nap", timedelta(hours=8))
    coins.eligible_check(lambda user_id, reason: reason != "staff")
    with app.app_context():
        for rule in (paid, once, thrice, thrice):
            rule.pay(7)
        db.session.commit()
    assert read(part="rewards") == (
        "Rewards Goal Once a day 15 15 coins Quiz Up to 3 times a week 2 of 3 5 5 coins"
        " Nap Once in 8 hours 2 2 coins Exam Open for each that is new 30 30 coins"
        " Login Done – opens again tomorrow at 00:00 10 10 coins"
        " Welcome Done for good 99 99 coins"
        " Boss Opens 1 December 2026, 00:00 60 60 coins"
    )


def test_when_all_is_done_it_says_what_opens_first(app: Flask, db: SQLAlchemy, read: Read) -> None:
    rules = [reward(app, 1, "b", "month"), reward(app, 1, "a", "hour")]
    assert "All done!" not in read()
    with app.app_context():
        for rule in rules:
            rule.pay(7)
        db.session.commit()
    assert "All done! The next one opens today at 13:00." in read(part="rewards")


def test_without_rewards_and_streaks_there_are_no_cards(client: FlaskClient) -> None:
    assert not re.findall("coins-rewards|coins-streak", client.get("/coins/").text)


# -- streak ---------------------------------------------------------------------------------------


@pytest.fixture
def days(app: Flask, db: SQLAlchemy, clock: Clock) -> Callable[[Any, list[int]], None]:
    """``days(rule, [3, 2, 0])``: it was paid three, two and no days ago."""

    def earn(rule: Any, ago: list[int]) -> None:
        for number in ago:
            clock.now = NOON - timedelta(days=number)
            with app.app_context():
                rule.pay(7)
                db.session.commit()
        clock.now = NOON

    return earn


def cells(client: FlaskClient) -> list[str]:
    """The states of the calendar's days."""
    return re.findall(r'<td class="coins-day-(\w+)"', client.get("/coins/").text)


def test_a_streak_has_its_calendar(
    app: Flask, read: Read, pay: Award, client: FlaskClient, days: Any, clock: Clock
) -> None:
    login = reward(app, 10, "login")
    days(login, [9, 7, 5, 4])
    clock.forward(days=-3.5)
    pay(-10, "streak_freeze", subject="login")
    days(login, [2, 1])
    said = read(part="streak")
    assert said.startswith("Streak 4 days in a row Login The last five weeks Mon Tue")
    assert "18 18 Nov paid 19 19 Nov frozen 20 20 Nov paid" in said
    assert "16 16 Nov missed" in said
    assert "Earn it by tomorrow at 00:00, and the streak goes on. Longest: 4 days." in said
    pay(-10, "streak_freeze", subject="login")
    assert "Longest: 4 days. 1 freeze left." in read(part="streak")
    # NOON is a Sunday, so the calendar's last day.
    wanted = "none paid missed paid missed paid paid frozen paid paid today"
    assert " ".join(cells(client)[-11:]) == wanted
    assert len(cells(client)) == 35


def test_a_streak_that_is_safe_says_so(app: Flask, read: Read, days: Any) -> None:
    days(reward(app, 10, "login"), [0])
    assert "1 day in a row" in read(part="streak")
    assert "Done for today. See you tomorrow!" in read(part="streak")


def test_the_longest_streak_is_shown(app: Flask, read: Read, days: Any) -> None:
    days(reward(app, 1, "first"), [0])
    days(reward(app, 1, "second"), [1, 0])
    reward(app, 1, "weekly", "week")
    assert "2 days in a row Second" in read(part="streak")


def test_an_app_may_name_its_streak(app: Flask, read: Read, days: Any) -> None:
    settings = app.extensions["coins"].settings
    object.__setattr__(settings, "streak", "first")
    days(reward(app, 1, "first"), [0])
    days(reward(app, 1, "second"), [1, 0])
    assert "1 day in a row First" in read(part="streak")
    object.__setattr__(settings, "streak", "by_hand")
    assert "0 days in a row By hand" in read(part="streak")


# -- chart ----------------------------------------------------------------------------------------


def test_the_chart_is_told_in_words_and_numbers(
    pay: Award, read: Read, client: FlaskClient, clock: Clock
) -> None:
    clock.forward(days=-60)
    pay(100)
    clock.forward(days=59)
    pay(-40, "hat")
    clock.forward(days=1)
    pay(7)
    page = client.get("/coins/").text
    assert (
        'role="img" aria-label="Balance by day: 100 coins on 24 Oct, 67 coins on 22 Nov."' in page
    )
    rows = "22 Nov 7 0 67 21 Nov 0 40 60 20 Nov 0 0 100"
    assert f"Day Earned Spent Balance {rows}" in read(part="chart")
    assert "0 coins on 25 Aug" in client.get("/coins/?days=90").text


# -- history --------------------------------------------------------------------------------------


def test_history_is_told_by_day(pay: Award, read: Read, clock: Clock) -> None:
    clock.forward(days=-1)
    pay(20, "daily_goal")
    clock.forward(days=1, minutes=5)
    pay(-5, "shop_item", subject="hat")
    assert read(part="history").endswith(
        "What for Amount Balance Today Shop item 12:05 · hat −5 15"
        f" 21 November 2026 Daily goal 12:00 +20 20 {DOWNLOAD}"
    )


def test_a_reversal_says_what_it_takes_back(
    app: Flask, db: SQLAlchemy, coins: Coins, read: Read
) -> None:
    with app.app_context():
        coins.reverse(coins.award(7, 30, "daily_goal").entry)
        db.session.commit()
    assert "takes back: Daily goal" in read()


def test_a_hosts_words_stand_for_a_subject(pay: Award, read: Read, coins: Coins) -> None:
    coins.words_loader(lambda reason, subject: f"Exam {subject}" if reason == "exam" else None)
    pay(5, "exam", subject="17")
    pay(5, "other", subject="18")
    said = read(part="history")
    assert "Exam 17 12:00 +5" in said
    assert "Other 12:00 · 18 +5" in said


def test_the_host_is_not_asked_what_an_erased_person_was_called(
    app: Flask, db: SQLAlchemy, coins: Coins, pay: Award, read: Read
) -> None:
    pay(5, "bonus", user=9)
    with app.app_context():
        coins.transfer(9, 7, 5)
        coins.forget(9)
        db.session.commit()
    coins.user_names_loader(lambda ids: {each: f"Number {int(each)}" for each in ids})
    assert "Transfer" in read(part="history")


def test_others_are_named_as_the_host_names_them(
    app: Flask, db: SQLAlchemy, coins: Coins, pay: Award, read: Read
) -> None:
    pay(50)
    with app.app_context():
        coins.transfer(7, "secret-id", 20)
        coins.transfer(7, 9, 5)
        db.session.commit()
    asked: list[list[str]] = []
    assert "secret-id" not in read()
    coins.user_names_loader(lambda ids: asked.append(ids) or {"9": "Ann <b>"})
    said = read(part="history")
    assert "Transfer 12:00 · Ann <b> −5 25 Transfer 12:00 −20 30" in said
    assert asked == [["9", "secret-id"]]


def test_stored_text_is_only_text(pay: Award, client: FlaskClient) -> None:
    pay(5, "<script>r</script>", subject='"><script>s</script>')
    page = client.get("/coins/?reason=<script>q</script>").text + client.get("/coins/").text
    assert not re.search("<script>[rsq]", page)
    assert "&lt;script&gt;s" in page.lower()


FILTERS: list[tuple[str, list[int]]] = [
    ("?reason=quiz", [5, 1]),
    ("?show=spent", [4]),
    ("?show=earned", [5, 3, 2, 1]),
    ("?from=2026-11-21", [5, 4, 3]),
    ("?to=2026-11-20", [2, 1]),
    ("?from=2026-11-20&to=2026-11-21&show=earned", [3, 2]),
    ("?reason=&show=&from=&to=", [5, 4, 3, 2, 1]),
    ("?reason=nothing", []),
]


def test_filters_leave_out_the_rest(pay: Award, client: FlaskClient, clock: Clock) -> None:
    clock.forward(days=-3)
    for amount, reason in ((1, "quiz"), (2, "a"), (3, "b"), (-4, "hat"), (5, "quiz")):
        pay(amount, reason)
        clock.forward(days=amount != -4)
    for query, shown in FILTERS:
        page = client.get(f"/coins/{query}").text
        amounts = re.findall(r'coins-number coins-(?:up|down)">[+−](\d+)', page)
        assert [int(amount) for amount in amounts] == shown, query
        assert ("There is nothing like that." in page) == (not shown)


REFUSED = [
    ("?from=yesterday", "A date is written like this: 2026-11-22."),
    ("?to=2026-W47-7", "A date is written like this: 2026-11-22."),
    ("?to=20261122", "A date is written like this: 2026-11-22."),
    ("?to=9999-12-31", "A date is written like this: 2026-11-22."),
    ("?show=stolen", "Coins are earned or spent: choose from the list."),
    ("?days=31", "The chart shows 30 or 90 days."),
    ("?currency=%00", "There is no such currency."),
    ("?reason=%00", "Nothing is paid for that: choose from the list."),
    *(
        (f"?{name}={bad}", "There is no such page: this is the newest one.")
        for name in ("before", "after")
        for bad in ("-1", "0", "x", "9" * 19, "9" * 30, "٣")
    ),
]


def test_what_cannot_be_asked_is_told(pay: Award, read: Read) -> None:
    pay(5)
    for query, told in REFUSED:
        said = read(query, "history", status=400)
        assert told in said, query
        assert "Bonus" in said


def test_pages_lead_there_and_back(pay: Award, client: FlaskClient) -> None:
    for number in range(1, 46):
        pay(number, "odd" if number % 2 else "even")
    seen: list[list[int]] = []
    page = client.get("/coins/?show=earned&days=90").text
    for rel in ("next", "next", "prev", "prev"):
        seen.append(_amounts(page))
        page = client.get(_link(page, rel)).text
    assert [each[0] for each in seen] == [45, 25, 5, 25]
    assert sorted(amount for page in seen[:3] for amount in page) == list(range(1, 46))
    assert _amounts(page) == seen[0]
    assert _link(page, "prev") == ""
    assert "show=earned" in _link(page, "next")
    assert "days=90" in _link(page, "next")


def _amounts(page: str) -> list[int]:
    return [int(amount) for amount in re.findall(r'coins-up">\+(\d+)', page)]


def _link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return html.unescape(found[1]) if found else ""


# -- what it costs --------------------------------------------------------------------------------

WITH_A_BADGE = """\
{% from "coins/macros.html" import coins_badge with context %}{{ coins_badge() }}
{% block content %}{% endblock %}"""


@pytest.mark.parametrize("entries", [3, 3000])
def test_five_statements_are_enough(
    app: Flask, db: SQLAlchemy, coins: Coins, client: FlaskClient, tmp_path: Path, entries: int
) -> None:
    (tmp_path / "templates" / "coins").mkdir()
    (tmp_path / "templates" / "coins" / "base.html").write_text(WITH_A_BADGE)
    rules = [reward(app, 5, f"r{n}", limit=n % 4 + 1) for n in range(30)]
    with app.app_context():
        coins.award_many({"user": 7, "amount": 5, "reason": "many"} for _ in range(entries))
        for rule in rules[::2]:
            rule.pay(7)
        db.session.commit()
        with statements(db.engine) as seen:
            assert "coins-badge" in client.get("/coins/?show=earned&from=2026-11-01").text
    assert len(seen) == 5


def test_it_is_light(app: Flask, pay: Award, client: FlaskClient, days: Any) -> None:
    login, *_ = [reward(app, 5, f"reward_number_{n}", limit=n % 2 + 1) for n in range(12)]
    days(login, list(range(30, -1, -1)))
    for number in range(30):
        pay(1000 + number, "a_rather_long_reason", subject="a subject as long as they come")
    sizes = []
    for path in (
        "/coins/?days=90&show=earned",
        "/coins/static/coins.css",
        "/coins/static/coins.js",
    ):
        response = client.get(path)
        sizes.append(len(response.data))
        response.close()
    assert sum(sizes) <= 60 * 1024


def test_it_asks_no_other_host_and_holds_no_inline_code(pay: Award, client: FlaskClient) -> None:
    pay(5)
    page = client.get("/coins/").text
    with client.get("/coins/static/coins.css") as css, client.get("/coins/static/coins.js") as js:
        files = css.text + js.text
    assert not re.search(r'(?:href|src|action)="(?!/|#)', page)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", page)
    assert not re.search(r"https?:|url\(|@import|eval\(", files)


def test_styles_stay_with_our_own_classes(client: FlaskClient) -> None:
    with client.get("/coins/static/coins.css") as response:
        css = re.sub(
            r"/\*.*?\*/|@keyframes [^{]+\{(?:[^{}]*\{[^}]*\})*\s*\}", "", response.text, flags=re.S
        )
    css = re.sub(r"@media [^{]+\{", "{", css)
    for selector in re.findall(r"([^{};]+)\{", css):
        for each in re.split(r",(?![^(]*\))", selector.strip()):
            assert not each.strip() or each.strip().startswith((".coins-", ":where(:root)")), each
    assert not re.findall(r"--(?!coins-)[\w-]+\s*:", css)


# -- a host's own look ----------------------------------------------------------------------------


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str, str], None]:
    """``template(name, source)``: one of the host's own."""

    def write(name: str, source: str) -> None:
        path = tmp_path / "templates" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)

    return write


def test_a_hosts_layout_takes_the_place_of_ours(client: FlaskClient, template: Any) -> None:
    template(
        "coins/base.html",
        "<b>Shop</b>{% block title %}{% endblock %}{% block content %}{% endblock %}",
    )
    page = client.get("/coins/").text
    assert page.startswith("<b>Shop</b>Your coins")
    assert 'id="coins-balance"' in page
    assert "coins-body" not in page


def test_one_block_of_a_page_can_be_another(client: FlaskClient, template: Any) -> None:
    template(
        "coins/wallet.html",
        '{% extends "flask_coins/wallet.html" %}'
        "{% block balance %}You have {{ account.balance }}!{% endblock %}",
    )
    page = client.get("/coins/").text
    assert "You have 0!" in page
    assert 'id="coins-balance"' not in page
    assert 'id="coins-history"' in page


def test_a_macro_can_be_another(client: FlaskClient, template: Any) -> None:
    kept = ("head", "nav", "toast", "moment")
    template(
        "coins/macros.html",
        '{% import "flask_coins/macros.html" as ours with context %}'
        "{% macro coins_coin() %}(c){% endmacro %}"
        + "".join(f"{{% set coins_{name} = ours.coins_{name} %}}" for name in kept),
    )
    assert "(c) <strong>0 coins" in client.get("/coins/").text


LAYOUT = """\
{% from "coins/macros.html" import coins_head, coins_badge, coins_nav, coins_toast with context %}
{{ coins_head() }}{{ coins_badge() }}{{ coins_nav() }}{{ coins_toast() }}"""


def test_macros_are_for_any_page(
    app: Flask, db: SQLAlchemy, pay: Award, client: FlaskClient
) -> None:
    app.add_url_rule("/", "home", lambda: render_template_string(LAYOUT))
    pay(1234)
    with app.app_context(), statements(db.engine) as seen:
        page = client.get("/").text
    assert len(seen) == 1
    assert 'href="/coins/" data-coins-badge="coins"' in page
    assert "Wallet: 1,234" in plain(page)
    assert '<a href="/coins/">Wallet</a>' in page


def test_the_script_takes_the_nonce_of_a_policy(app: Flask) -> None:
    macros = '{% from "coins/macros.html" import coins_head with context %}'
    for call, count in (("coins_head(nonce='r4nd0m')", 1), ("coins_head()", 0)):
        with app.test_request_context():
            head = render_template_string(f"{macros}{{{{ {call} }}}}")
        assert head.count(' nonce="r4nd0m"></script>') == head.count("nonce") == count


def test_nobody_has_no_badge(app: Flask, client: FlaskClient, who: dict[str, Any]) -> None:
    app.add_url_rule("/", "home", lambda: render_template_string(LAYOUT))
    who["id"] = None
    assert "coins-badge" not in client.get("/").text


def test_an_app_that_knows_no_users_has_no_badge(
    app: Flask, client: FlaskClient, coins: Coins
) -> None:
    app.add_url_rule("/", "home", lambda: render_template_string(LAYOUT))
    coins._loaders.current_user = None
    assert "coins-badge" not in client.get("/").text


def test_another_name_and_place_are_found(
    db: SQLAlchemy, coins: Coins, who: dict[str, Any]
) -> None:
    app = create_app("sqlite://", db, coins, COINS_URL_PREFIX=None)
    app.register_blueprint(coins.blueprint, name="purse", url_prefix="/my/purse")
    app.add_url_rule("/", "home", lambda: render_template_string(LAYOUT))
    with app.app_context():
        db.create_all()
    for path in ("/", "/my/purse/"):
        page = app.test_client().get(path).text
        assert 'href="/my/purse/static/coins.css"' in page
        assert 'href="/my/purse/"' in page


# -- the history as a file ------------------------------------------------------------------------


def rows_of(client: FlaskClient, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/coins/history.csv{query}")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    assert answer.headers["Cache-Control"] == "private, no-store"
    text = answer.data.decode("utf-8-sig")
    return list(csv.DictReader(text.splitlines()))


def test_a_user_takes_the_history_along(
    pay: Award, client: FlaskClient, coins: Coins, clock: Clock
) -> None:
    coins.timezone_loader(lambda user_id: "Europe/Berlin")
    pay(20, "daily_goal", details={"note": "canary"}, idempotency_key="canary")
    pay(9, "bonus", user=8)
    clock.forward(minutes=5)
    pay(-5, "shop_item", subject="=hat")
    newest, oldest = rows_of(client)
    assert newest == {
        "id": "3",
        "created_at": "2026-11-22T13:05:00+01:00",
        "reason": "shop_item",
        "words": "Shop item",
        "subject": "'=hat",
        "amount": "-5",
        "balance_after": "15",
        "currency": "coins",
    }
    assert (oldest["words"], oldest["amount"]) == ("Daily goal", "20")
    assert "canary" not in client.get("/coins/history.csv").text


def test_the_file_has_what_the_filters_leave(
    pay: Award, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history_csv, "_CHUNK", 2)
    for number in range(5):
        pay(1 + number)
    pay(-2, "hat")
    pay(3, "bonus", currency="gems")
    assert [row["amount"] for row in rows_of(client, "?show=earned")] == ["5", "4", "3", "2", "1"]
    assert [row["amount"] for row in rows_of(client, "?currency=gems")] == ["3"]
    assert rows_of(client, "?reason=nothing") == []
    page = client.get("/coins/?show=earned&days=90").text
    assert 'href="/coins/history.csv?show=earned"' in page


def test_what_is_no_filter_makes_no_file(pay: Award, client: FlaskClient) -> None:
    pay(5)
    assert client.get("/coins/history.csv?from=yesterday").status_code == 400


def test_a_file_is_named_in_plain_characters(client: FlaskClient) -> None:
    with client.get("/coins/history.csv?currency=../\u202e☃") as response:
        named = response.headers["Content-Disposition"]
    assert named == "attachment; filename=..___-2026-11-22.csv"


# -- the docs -------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
OURS = ROOT / "flask_coins" / "blueprint"
DOCS = (ROOT / "docs" / "wallet.md").read_text()


def test_all_that_a_host_may_change_is_documented() -> None:
    templates = OURS / "templates" / "coins"
    pages = "".join((templates / name).read_text() for name in ("base.html", "wallet.html"))
    macros = "".join((templates / name).read_text() for name in ("macros.html", "charts.html"))
    names = re.findall(r"{%-? block (\w+)", pages) + re.findall(r"{%-? macro (coins_\w+)", macros)
    names += re.findall(r"(--coins-[\w-]+):", (OURS / "static" / "coins.css").read_text())
    code = "".join((OURS / f"{name}.py").read_text() for name in ("_layout", "_toasts", "_wallet"))
    names += re.findall(r'add_app_template_global\(\w+, "(\w+)"\)', code)
    assert len(names) > 40
    assert not [name for name in names if f"`{name}" not in DOCS]
