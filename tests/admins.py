"""An app with admin pages on SQLite in memory, and an admin's browser."""

from __future__ import annotations

import html
import re
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_coins import Coins, Entry

from .apps import create_app

ADMIN = 1


class Office:
    """``who`` is logged in, the admin at first; coins are moved for others by :meth:`coins`."""

    def __init__(self, db: SQLAlchemy, coins: Coins, **config: Any) -> None:
        self.db, self.coins, self.who = db, coins, ADMIN
        coins.current_user_loader(lambda: self.who)
        coins.admin_check(lambda: self.who == ADMIN)
        self.app: Flask = create_app("sqlite://", db, coins, **config)
        self.browser = self.app.test_client()
        with self.app.app_context():
            db.create_all()

    def move(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What ``coins.<name>(…)`` answers, committed."""
        with self.app.app_context():
            answer = getattr(self.coins, name)(*args, **kwargs)
            self.db.session.commit()
        return answer

    def entries(self, user: Any, currency: str = "coins") -> list[Entry]:
        """The user's entries, newest first."""
        with self.app.app_context():
            return self.coins.history(user, currency=currency)

    def get(self, path: str, **query: Any) -> TestResponse:
        """An admin page."""
        return self.browser.get(f"/coins/admin/{path}", query_string=query)

    def post(self, path: str, **fields: Any) -> TestResponse:
        """The answer to a form as it is sent."""
        return self.browser.post(f"/coins/admin/{path}", data=fields)

    def preview(self, path: str, query: dict[str, Any], **filled_in: Any) -> TestResponse:
        """What a form, opened by ``query``, leads to when it is filled in."""
        return self.post(path, **hidden(self.get(path, **query)) | {"note": "why not"} | filled_in)

    def do(self, path: str, query: dict[str, Any], **filled_in: Any) -> TestResponse:
        """The same, and then "Yes, do it"."""
        return self.post(path, **hidden(self.preview(path, query, **filled_in)))


def hidden(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the page's form that is sent by POST."""
    form = re.search(r'<form[^>]* method="post".*?</form>', page.text, re.S)
    assert form, page.text
    found = re.findall(r'<input type="hidden" name="(.+?)" value="(.*?)">', form[0])
    return {name: html.unescape(value) for name, value in found}


def words(page: TestResponse) -> str:
    """What a page says, without its markup."""
    body = page.text.partition("<body")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
