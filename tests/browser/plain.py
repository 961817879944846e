"""A host without a layout or a form library of its own: the pages as they come."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, redirect, render_template_string, request, session
from flask.typing import ResponseReturnValue
from flask_babel import Babel
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins.testing import make_entries

PAGES = {
    "coins.wallet": "/coins/",
    "coins.leaderboard": "/coins/leaderboard",
    "coins.admin_overview": "/coins/admin/",
    "coins.admin_adjustments": "/coins/admin/adjustments",
    "coins.admin_user": "/coins/admin/user?id=root",
    "coins.admin_adjust": "/coins/admin/adjust?id=root",
    "coins.admin_reverse": "/coins/admin/reverse?entry=1",
    "coins.admin_release": "/coins/admin/release?hold=1",
}
"""Every page of the extension, by its endpoint; "root" has something to see on each."""
LONG = "A<b>very</b>" + "long" * 25
HOME = """\
{% extends "coins/base.html" %}
{% from "coins/macros.html" import coins_badge with context %}
{% block title %}Home{% endblock %}
{% block content %}
<p>{{ coins_badge() }}</p>
<form method="post" action="/pay">
  <label>Reasons <input name="reasons" value="daily_goal"></label>
  <button>Pay</button>
</form>
{% endblock %}
"""

db, coins, babel = SQLAlchemy(), Coins(), Babel()
coins.current_user_loader(lambda: session.get("user"))
coins.user_names_loader(lambda ids: {each: each.title() for each in ids if each != "root"})
coins.admin_check(lambda: session.get("user") == "root")


def make_plain_app(database: Path) -> Flask:
    """Its users are who they say, its admin is "root"; ``POST /pay`` pays what it is asked for."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="test", SQLALCHEMY_DATABASE_URI=f"sqlite:///{database}")
    db.init_app(app)
    coins.init_app(app, db)
    babel.init_app(app, locale_selector=lambda: request.accept_languages.best_match(["en", "de"]))

    @app.get("/")
    def home() -> str:
        return render_template_string(HOME)

    @app.post("/as/<user>")
    def log_in(user: str) -> ResponseReturnValue:
        session["user"] = user
        return redirect("/", 303)

    @app.post("/pay")
    def pay() -> ResponseReturnValue:
        for reason in request.form["reasons"].split():
            coins.award(session["user"], 10, reason)
        db.session.commit()
        return "Paid." if "stay" in request.form else redirect("/", 303)

    @app.after_request
    def restrict(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    with app.app_context():
        db.create_all()
    return app


def fill(app: Flask) -> None:
    """Give "root" some weeks of coins, one entry that is hard to show, and a hold."""
    make_entries(app, "root", 60, reason="daily_goal", window="day")
    with app.app_context():
        coins.award("root", 1_234_567, "adjustment", details={"by": "root", "note": LONG})
        coins.award("root", 5, "variant_clear", subject=LONG, currency="gems")
        coins.spend("root", 40, "shop", subject=LONG)
        coins.hold("root", 60, "shop", subject=LONG)
        db.session.commit()
