"""What ``flask coins doctor`` says of a server that would not keep the promises."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

CHANGES = {
    "postgresql": ("ALTER SEQUENCE coin_log_id_seq CACHE 50", "in blocks of 50"),
    "mariadb": ("ALTER TABLE coin_balance ENGINE = MyISAM", "of the engine MyISAM"),
}


def said(app: Flask) -> str:
    return app.test_cli_runner().invoke(args=["coins", "doctor"]).output


def test_doctor_finds_what_breaks_the_promises_silently(
    app: Flask, db: SQLAlchemy, engine: str
) -> None:
    change, words = CHANGES[engine]
    assert "ok     storage" in said(app)
    with app.app_context():
        db.session.execute(sa.text(change))
        db.session.commit()
    assert "FAULT  storage" in said(app)
    assert words in said(app)


def test_missing_tables_are_no_fault_of_the_storage(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        db.drop_all()
    assert "ok     storage" in said(app)
