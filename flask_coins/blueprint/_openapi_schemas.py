"""What the API's answers, bodies and problems look like, as OpenAPI 3.1 has it: plain data."""

from __future__ import annotations

from typing import Any

from .._models import MAX_AMOUNT

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A pointer to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Schema, *optional: str, **more: Any) -> Schema:
    """An object that has all ``properties`` but those that are ``optional``."""
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": needed, **more}


def list_of(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def text(longest: int, **more: Any) -> Schema:
    """A text that can be stored: it holds no control characters and does not end in a space."""
    kept = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u009f]$"
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": kept, **more}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


ID = {"type": "string", "pattern": "^([1-9][0-9]{0,17}|[1-8][0-9]{18})$"}
MOMENT = {"type": "string", "format": "date-time"}
CURRENCY = text(16)
_COINS = {"type": "integer", "minimum": 0, "maximum": MAX_AMOUNT}
_PRICE = {"type": "integer", "minimum": 1, "maximum": MAX_AMOUNT}
_MOVED = {
    "type": "integer",
    "minimum": -MAX_AMOUNT,
    "maximum": MAX_AMOUNT,
    "description": "Negative for what was spent.",
}
_REASON = text(64)
_SUBJECT = text(128, description="What it was for.")

SCHEMAS: dict[str, Schema] = {
    "Balance": object_of(
        {
            "balance": _COINS,
            "available": _COINS | {"description": "What can be spent: without what is held."},
            "held": _COINS | {"description": "Set aside by open holds."},
            "currency": CURRENCY,
        }
    ),
    "Entry": object_of(
        {
            "id": ID,
            "created_at": MOMENT,
            "amount": _MOVED,
            "balance_after": _COINS,
            "currency": CURRENCY,
            "reason": _REASON,
            "subject": or_null(_SUBJECT),
        }
    ),
    "History": object_of(
        {
            "entries": list_of(ref("Entry")),
            "next": or_null(ID | {"description": "What `before` is for the next page."}),
        }
    ),
    "Reward": object_of(
        {
            "reason": _REASON,
            "amount": or_null(_PRICE | {"description": "Null: it differs, see `amounts`."}),
            "amounts": list_of(_PRICE)
            | {"maxItems": 100, "description": "What it may be, in order, as far as that is told."},
            "currency": CURRENCY,
            "window": or_null({"type": "string", "description": "Null: it pays each time."}),
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "subject": or_null(_SUBJECT),
            "state": {"enum": ["open", "paid", "not_open", "capped", "excluded", "varies"]},
            "opens_at": or_null(MOMENT),
            "times": {
                "type": "integer",
                "minimum": 0,
                "maximum": 1000,
                "description": "How often it was paid in the present window, up to `limit`.",
            },
            "left": or_null(
                _COINS | {"description": "If it is capped: what its budgets would still pay."}
            ),
        }
    ),
    "Rewards": object_of({"rewards": list_of(ref("Reward"))}),
    "Place": object_of(
        {
            "rank": {"type": "integer", "minimum": 1, "description": "The same for equal scores."},
            "score": _PRICE | {"description": "Coins that were paid and not taken back."},
            "name": {"type": ["string", "null"], "description": "Null where the app gives none."},
            "me": {"type": "boolean", "description": "Whether it is the user's own."},
        }
    ),
    "Leaderboard": object_of(
        {
            "window": {"enum": ["day", "week", "month", "all"]},
            "currency": CURRENCY,
            "places": list_of(ref("Place")),
            "mine": or_null(ref("Place")) | {"description": "Null without a score, or if hidden."},
            "neighbours": list_of(ref("Place"))
            | {"description": "The user's own, and those near."},
            "hidden": {"type": "boolean", "description": "Whether the user is left out."},
        }
    ),
    "Price": object_of({"reason": _REASON, "amount": _PRICE, "currency": CURRENCY}),
    "Prices": object_of({"prices": list_of(ref("Price"))}),
    "Purchase": object_of(
        {"reason": _REASON, "subject": or_null(_SUBJECT)}, "subject", additionalProperties=False
    ),
    "Transfer": object_of(
        {
            "to": text(128, description="Whom it is for, as the app calls people."),
            "amount": _PRICE,
            "currency": CURRENCY | {"default": "coins"},
        },
        "currency",
        additionalProperties=False,
    ),
    "Problem": object_of(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "description": "Which problem it is, for programs."},
            "detail": {"type": ["string", "null"]},
            "parameter": {"type": "string", "description": "Which one is wrong."},
            "balance": _COINS | {"description": "What can be spent."},
            "amount": _PRICE | {"description": "What is needed."},
            "currency": CURRENCY,
        },
        *("parameter", "balance", "amount", "currency"),
    ),
}


def _problem(description: str, **headers: str) -> dict[str, Any]:
    named = {
        name.replace("_", "-"): {"description": told, "schema": {"type": "string"}}
        for name, told in headers.items()
    }
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": description, "headers": named, "content": content}


PROBLEMS = {
    "400": _problem("A parameter, the body or the key cannot be as it is."),
    "401": _problem("Nobody is logged in."),
    "402": _problem("There are not enough coins."),
    "403": _problem("The user may not do this, or a page of another site has sent it."),
    "404": _problem("There is no such path."),
    "405": _problem("There is no such method here.", Allow="Those that there are."),
    "411": _problem("The request does not say its Content-Length."),
    "413": _problem("The body is too large."),
    "415": _problem("The body is not application/json."),
    "422": _problem("It cannot be done; the code says why. Nothing was changed."),
    "500": _problem("The app has failed, or is not set up."),
    "503": _problem("The database is busy or not ready.", Retry_After="Seconds to wait."),
    "default": _problem("Any other error, such as one of the app's own limits."),
}
