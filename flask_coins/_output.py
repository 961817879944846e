"""What leaves by the command line and the API: JSON forms, and tables for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ._reconciliation import Reconciliation
from .results import Entry, Hold, Receipt, Reward

_WITHOUT_WIDTH = ("Mn", "Me", "Cf")  # drawn onto the character before, or not at all


def moment(when: datetime | None) -> str | None:
    """An aware UTC moment as RFC 3339 writes it, with ``Z``."""
    return when.isoformat().replace("+00:00", "Z") if when else None


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry without ``details``, which are the host's own notes; its id is a text."""
    return {
        "id": str(entry.id),
        "created_at": moment(entry.created_at),
        "amount": entry.amount,
        "balance_after": entry.balance_after,
        "currency": entry.currency,
        "reason": entry.reason,
        "subject": entry.subject,
    }


def hold_json(hold: Hold) -> dict[str, Any]:
    """A hold without ``details``; its id is a text."""
    return {
        "id": str(hold.id),
        "created_at": moment(hold.created_at),
        "expires_at": moment(hold.expires_at),
        "amount": hold.amount,
        "currency": hold.currency,
        "reason": hold.reason,
        "subject": hold.subject,
        "status": hold.status,
    }


def reward_json(reward: Reward) -> dict[str, Any]:
    """A reward of the catalogue, as it stands."""
    return {
        "reason": reward.reason,
        "amount": reward.amount,
        "amounts": list(reward.amounts),
        "currency": reward.currency,
        "window": reward.window,
        "limit": reward.limit,
        "subject": reward.subject,
        "state": reward.state,
        "opens_at": moment(reward.opens_at),
        "times": reward.times,
        "left": reward.left,
    }


def receipt_json(receipt: Receipt, user_id: str) -> dict[str, Any]:
    """The answer to a movement of ``user_id``."""
    return {
        "outcome": str(receipt.outcome),
        "user": user_id,
        "amount": receipt.amount,
        "currency": receipt.currency,
        "balance": receipt.balance,
        "reason": receipt.reason,
        "subject": receipt.subject,
        "next_at": moment(receipt.next_at),
        "left": receipt.left,
        "entry": entry_json(receipt.entry) if receipt.entry else None,
    }


def reconciliation_json(result: Reconciliation) -> dict[str, Any]:
    """What was adopted; ``adopted`` is False where there was nothing to adopt."""
    differences = [
        {"user": user, "logged": logged, "stated": stated}
        for user, logged, stated in result.differences
    ]
    return {"adopted": bool(result), **asdict(result), "differences": differences}


def page(entries: Sequence[Entry], limit: int) -> dict[str, Any]:
    """Up to ``limit`` of ``entries``, and the cursor of the next page if there are more."""
    shown = entries[:limit]
    more = len(entries) > limit
    return {
        "entries": [entry_json(entry) for entry in shown],
        "next": str(shown[-1].id) if more else None,
    }


def table(rows: Iterable[dict[str, Any]], *columns: str) -> str:
    """Aligned columns of ``rows`` under their names, numbers to the right; None is a dash."""
    found = list(rows)
    names = [name.replace("_", " ") for name in columns]
    cells = [["-" if row[name] is None else str(row[name]) for name in columns] for row in found]
    kinds = [{type(row[name]) for row in found} - {type(None)} for name in columns]
    return "\n".join(_aligned([names, *cells], [kind == {int} for kind in kinds]))


def several(amounts: Iterable[int]) -> str | None:
    """``15, 25, 40``; None without any."""
    return ", ".join(map(str, amounts)) or None


def pairs(values: dict[str, Any]) -> str:
    """One line for each value that is there, behind its name."""
    lines = [[name.replace("_", " "), str(it)] for name, it in values.items() if it is not None]
    return "\n".join(_aligned(lines, [False, False]))


def _aligned(lines: list[list[str]], numbers: list[bool]) -> Iterable[str]:
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, numbers, strict=True)
        yield "  ".join(_padded(*cell) for cell in cells).rstrip()


def _padded(text: str, width: int, number: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if number else text + space


def _width(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in _WITHOUT_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
