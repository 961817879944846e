"""A host without a layout, a form library or a language of its own: the pages as they come."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, redirect, render_template_string, request, session
from flask.typing import ResponseReturnValue
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins

HOME = """\
{% extends "coins/base.html" %}
{% block title %}Home{% endblock %}
{% block content %}
<form method="post" action="/pay">
  <label>Reasons <input name="reasons" value="daily_goal"></label>
  <button>Pay</button>
</form>
{% endblock %}
"""


def make_plain_app(database: Path) -> Flask:
    """Its users are who they say, its admin is "root"; ``POST /pay`` pays what it is asked for."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="test", SQLALCHEMY_DATABASE_URI=f"sqlite:///{database}")
    db, coins = SQLAlchemy(app), Coins()
    coins.current_user_loader(lambda: session.get("user"))
    coins.admin_check(lambda: session.get("user") == "root")
    coins.init_app(app, db)

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
            coins.award(None, 10, reason)
        db.session.commit()
        return "Paid." if "stay" in request.form else redirect("/", 303)

    @app.after_request
    def restrict(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    with app.app_context():
        db.create_all()
    return app
