"""Every page in a language that puts each message into brackets: what stands outside was not translated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import flask_babel
import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, award_once

from . import catalogs
from .apps import APART, create_app
from .test_words import Visible

LANGUAGE = "eo"
BEGIN, END = "\N{LEFT DOUBLE PARENTHESIS}", "\N{RIGHT DOUBLE PARENTHESIS}"
DATA = {"ann", "bob", "nobody", "quest", "hat", "bet", "thanks", "coins", "gems", "utc"}
"""What is no message: names, ids, reasons of the host's own, and what admins have typed."""

db, coins = SQLAlchemy(), Coins()


@pytest.fixture(scope="module")
def translations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(locale=LANGUAGE)
    for message in catalogs.collected():
        forms = [message.id] if isinstance(message.id, str) else message.id
        bracketed = tuple(f"{BEGIN}{form}{END}" for form in forms)
        catalog.add(message.id, bracketed if len(bracketed) > 1 else bracketed[0])
    folder = tmp_path_factory.mktemp("translations")
    path = folder / LANGUAGE / "LC_MESSAGES" / "coins.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalog)
    return folder


@pytest.fixture(scope="module")
def app(translations: Path) -> Flask:
    app = create_app("sqlite://", db, coins, import_name=APART)
    flask_babel.Babel(
        app, default_locale=LANGUAGE, default_translation_directories=str(translations)
    )
    coins.current_user_loader(lambda: "ann")
    coins.admin_check(lambda: True)
    coins.user_names_loader(lambda ids: {each: each.title() for each in ids})
    for name in ("quest", "daily_login"):
        app.post(f"/{name}", endpoint=name)(award_once(5, name, "day", limit=2)(lambda: "done"))
    with app.app_context():
        db.create_all()
        coins.award_once("ann", 5, "daily_login", "day")
        entry = coins.award("ann", 70, "quest")
        coins.award("ann", 3, "quest", currency="gems")
        coins.reverse(entry, amount=2, details={"by": "bob", "note": "thanks"})
        coins.spend("ann", 1, "hat")
        coins.transfer("ann", "bob", 4)
        coins.hold("ann", 5, "bet")
        db.session.commit()
    return app


def pages(app: Flask) -> Iterator[str]:
    for rule in app.url_map.iter_rules():
        is_ours = re.match(r"coins\.(?!api_).*(?<!_csv)$", rule.endpoint)
        if is_ours and "GET" in (rule.methods or ()) and not rule.arguments:
            yield rule.rule


def untranslated(page: str) -> set[str]:
    """The words of a page outside of all brackets."""
    seen = Visible()
    seen.feed(re.sub(r"<(script|style|code)\b.*?</\1>", "", page, flags=re.S))
    text, inner = "\n".join(seen.found), re.compile(f"{BEGIN}[^{BEGIN}{END}]*{END}")
    while inner.search(text):
        text = inner.sub(" ", text)
    return words_of(text) - DATA - calendar_words()


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{2,}", text.lower()))


def calendar_words() -> set[str]:
    locale = Locale(LANGUAGE)
    names = [
        name
        for words in (locale.months, locale.days)
        for widths in words.values()
        for width in widths.values()
        for name in width.values()
    ]
    return words_of(" ".join(names))


@pytest.mark.parametrize(
    "query",
    [
        "id=ann&entry=2&hold=1",
        "id=nobody&from=x&show=x&reason=x&before=x",
        "id=ann&currency=gems&days=90",
    ],
)
def test_every_word_of_every_page_is_translated(app: Flask, query: str) -> None:
    client, found = app.test_client(), {}
    for path in pages(app):
        response = client.get(f"{path}?{query}")
        assert response.status_code < 500, path
        if "coins-body" in response.text:  # and no error page of the host's
            found[path] = untranslated(response.text)
    assert len(found) >= 3
    assert {path: words for path, words in found.items() if words} == {}
