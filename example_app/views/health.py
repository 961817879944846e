"""Whether the app can serve, for those who watch it."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ..extensions import db

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def check() -> ResponseReturnValue:
    """200 where the database answers, else 503."""
    try:
        db.session.execute(select(1))
    except SQLAlchemyError:
        return {"status": "unavailable", "database": "does not answer"}, 503
    return {"status": "ok", "database": "answers"}
