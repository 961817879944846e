"""Every call with every argument that cannot be: ``python -m tests.bad_inputs`` counts them.

One argument is wrong at a time. The call must raise a CoinsError, and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError
from flask_coins.windows import Period

NAUGHTY = ["", " ", "ends ", "a\x00b", "a\nb", "\x7f", "\ud800", "x" * 200, b"bytes", 1.5, object()]
TEXTS = [*NAUGHTY, None, True, 7, ["a"], {"a": 1}]
AMOUNTS = [0, -1, 10**15, 2**70, 1.0, float("nan"), float("inf"), Decimal(5), "5", b"5", True, None]
AMOUNTS += [[5], {"n": 5}, object(), 5 + 0j, "", "NaN"]
USERS = [*NAUGHTY, None, True, (), [], {}, int, lambda: 7, "forgotten:" + "0" * 32]
SUBJECTS = [*NAUGHTY[:-2], 1.5, object(), True, [], {}, Decimal(1), datetime(2026, 1, 1)]
KEYS = [*NAUGHTY, True, 7, [], "x" * 129]
WINDOWS = ["", "DAY", "fortnight", 1, 1.5, None, True, timedelta(0), timedelta(-1), object, b"day"]
WINDOWS += [timedelta(days=400_000), ["day"], Period]
LIMITS = [0, -1, 1001, 1.0, "1", True, None, [1], 2**63]
DETAILS = [float("nan"), float("inf"), {1, 2}, object(), b"x", "\ud800", {(1, 2): 3}]
IDS = [0, -1, 2**63, 1.0, "1", True, None, object(), [], b"1", 10**9]
LASTING = [0, 60, timedelta(0), timedelta(-1), timedelta(days=4000), "1h", True, 1.5, object()]
MOMENTS = [None, 0, "2026-01-01", datetime(2026, 1, 1), timedelta(1), True, object()]
ROWS = [
    *([{"user": "ann", "amount": it}] for it in AMOUNTS),
    *([{"user": it, "amount": 5}] for it in USERS),
    *([{"user": "ann", "amount": 5, "window": it}] for it in WINDOWS if it is not None),
    *(None, 7, "rows", b"rows", {"user": "ann", "amount": 5}, [None], [()], [{}], ["ann"]),
    *([{"user": "ann"}], [{"user": "ann", "amount": 5, "colour": "red"}]),
    *([{"user": "ann", "amount": 5, "window": "day", "idempotency_key": "k"}],),
]


class Bad(NamedTuple):
    """One call with one wrong argument."""

    call: str
    argument: str
    value: Any
    make: Callable[[], Any]


def cases(coins: Coins) -> Iterator[Bad]:
    """All of them. The ledger has an entry 1 and a hold 1."""
    entry = {"subject": SUBJECTS, "currency": TEXTS, "details": DETAILS}
    keyed = entry | {"idempotency_key": KEYS}
    moves = {"user": USERS, "amount": AMOUNTS, "reason": TEXTS} | keyed
    read = {"user": [it for it in USERS if it is not None][:-1], "currency": TEXTS}
    good: dict[str, Any] = {"user": "ann", "amount": 5, "reason": "quest", "window": "day"}
    good |= {"sender": "ann", "recipient": "bob", "xp": 50, "rows": [], "users": ["ann"]}
    good |= {"entry": 1, "hold": 1, "when": coins.now()}
    wrong: dict[str, dict[str, list[Any]]] = {
        "award": moves,
        "award_once": moves | {"window": WINDOWS, "limit": LIMITS},
        "award_xp": keyed
        | {"user": USERS, "xp": [it for it in AMOUNTS if it not in (0, 10**15)], "reason": TEXTS},
        "spend": moves,
        "transfer": keyed
        | {"sender": USERS, "recipient": [*USERS, "ann"], "amount": AMOUNTS, "reason": TEXTS},
        "reverse": {"entry": IDS, "reason": TEXTS, "idempotency_key": KEYS, "details": DETAILS}
        | {"amount": [it for it in AMOUNTS if it is not None]},
        "hold": moves | {"expires_in": LASTING},
        "capture": {"hold": IDS, "amount": [it for it in AMOUNTS if it is not None]},
        "release": {"hold": IDS},
        "award_many": {"rows": ROWS},
        "balance": read,
        "available": read,
        "holds": read,
        "history": read | {"limit": LIMITS, "before": IDS[1:6] + IDS[7:10]},
        "balance_at": read | {"when": MOMENTS},
        "streak": read
        | {"reason": TEXTS, "window": [*WINDOWS, "hour", "forever"], "freeze": TEXTS},
        "balances": {"users": [None, 7, "ann", b"ann", [None], [1.5]], "currency": TEXTS},
    }
    del wrong["award_once"]["idempotency_key"]
    for call, arguments in wrong.items():
        method = getattr(coins, call)
        needed = {name: good[name] for name in arguments if name in good and name != "reason"}
        if call in ("spend", "hold", "award_once"):
            needed["reason"] = "quest"
        for name, values in arguments.items():
            for value in values:
                yield Bad(call, name, value, _call(method, {**needed, name: value}))


def _call(method: Callable[..., Any], arguments: dict[str, Any]) -> Callable[[], Any]:
    arguments = dict(arguments)
    first = [arguments.pop(it) for it in _POSITIONAL if it in arguments]
    return lambda: method(*first, **arguments)


_POSITIONAL = ("user", "sender", "recipient", "xp", "entry", "hold", "rows", "users")


def contents(db: SQLAlchemy) -> list[Any]:
    """All that stands in the tables."""
    names = ("coin_balance", "coin_log", "coin_hold", "coin_budget")
    return [db.session.execute(sa.text(f"SELECT * FROM {name}")).all() for name in names]


def accepted(db: SQLAlchemy, coins: Coins) -> tuple[int, list[str]]:
    """How many were tried, and those that were not refused as they should be."""
    coins.award("ann", 100, "start")
    coins.hold("ann", 10, "start")
    db.session.commit()
    before, found, tried = contents(db), [], 0
    for bad in cases(coins):
        tried += 1
        try:
            bad.make()
        except CoinsError:
            pass
        except Exception as error:  # noqa: BLE001  # any other error is a finding
            found.append(f"{bad.call}({bad.argument}={bad.value!r}): {error!r}")
        else:
            found.append(f"{bad.call}({bad.argument}={bad.value!r}) was accepted")
        if contents(db) != before:
            found.append(f"{bad.call}({bad.argument}={bad.value!r}) changed something")
            db.session.rollback()
    db.session.rollback()
    return tried, found


def main() -> None:
    """Try them on SQLite and print the figures."""
    app, db, coins = Flask("bad_inputs"), SQLAlchemy(), Coins()
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
        tried, found = accepted(db, coins)
    print(*found, sep="\n")
    print(f"bad inputs tried: {tried}, accepted: {len(found)}")


if __name__ == "__main__":
    main()
