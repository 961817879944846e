"""No call takes what cannot be, and none changes anything by refusing it."""

from __future__ import annotations

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins

from .bad_inputs import accepted


@pytest.mark.usefixtures("ctx")
def test_nothing_that_cannot_be_is_accepted(db: SQLAlchemy, coins: Coins) -> None:
    tried, found = accepted(db, coins)
    assert (found, tried > 1000) == ([], True)
