"""Each operation of the API, as OpenAPI 3.1 has it: plain data."""

from __future__ import annotations

from typing import Any

from ._openapi_schemas import CURRENCY, ID, ref

_HEADER = {"schema": {"type": "string"}, "required": True}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _problems(*statuses: str) -> dict[str, Any]:
    listed = ("400", "401", *statuses, "405", "500", "503", "default")
    return {status: {"$ref": f"#/components/responses/{status}"} for status in listed}


def _answer(schema: str, description: str, **headers: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    content = {"application/json": {"schema": ref(schema)}}
    return {"description": description, "headers": named, "content": content}


def _read(schema: str, summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": schema[0].lower() + schema[1:],
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": _answer(schema, summary, Cache_Control=_HEADER), **_problems()},
    }


def _switch(name: str, summary: str) -> dict[str, Any]:
    answers = {"204": {"description": summary}, **_problems("403")}
    return {"operationId": name, "summary": summary, "responses": answers}


def _move(schema: str, name: str, summary: str) -> dict[str, Any]:
    """An operation that moves coins once for each key."""
    replayed = {"schema": {"const": "true"}, "description": "The key was used before: as then."}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(schema)}}},
        "responses": {
            "201": _answer("Entry", "The entry of the log.", Idempotent_Replayed=replayed),
            **_problems("402", "403", "404", "411", "413", "415", "422"),
        },
    }


KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Of the client's making, such as a UUID in quotes: coins move once for each.",
    "schema": {"type": "string", "pattern": r'^("[ !#-\[\]-~]{1,255}"|[!#-+\--:<-\[\]-~]{1,255})$'},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
}
_CURRENCY = _parameter("currency", CURRENCY | {"default": "coins"}, "Which coins.")
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}

_WINDOW = {"enum": ["day", "week", "month", "all"], "default": "week"}

_BALANCE = _read("Balance", "What the user has.", _CURRENCY)
_BALANCE["parameters"] += [
    {
        "name": "If-None-Match",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The ETag of an earlier answer.",
    }
]
_BALANCE["responses"]["200"]["headers"]["ETag"] = _HEADER
_BALANCE["responses"]["304"] = {"description": "As it was.", "headers": {"ETag": _HEADER}}

_DESCRIPTION: dict[str, Any] = {
    "operationId": "openapi",
    "summary": "This document.",
    "security": [],
    "responses": {
        "200": {
            "description": "An OpenAPI document.",
            "headers": {"ETag": _HEADER},
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "304": {"description": "As it was.", "headers": {"ETag": _HEADER}},
        "405": {"$ref": "#/components/responses/405"},
        "default": {"$ref": "#/components/responses/default"},
    },
}

PATHS: dict[str, dict[str, Any]] = {
    "balance": {"get": _BALANCE},
    "history": {
        "get": _read(
            "History",
            "The entries of the log, newest first.",
            _parameter("limit", _LIMIT, "How many on a page."),
            _parameter("before", ID, "`next` of the page before."),
            _CURRENCY,
        )
    },
    "rewards": {"get": _read("Rewards", "Each reward of the app as it stands for the user.")},
    "leaderboard": {
        "get": _read(
            "Leaderboard",
            "Who leads, where the user stands, and who is near.",
            _parameter("window", _WINDOW, "Since when."),
            _parameter("limit", _LIMIT | {"default": 10}, "How many places."),
            _CURRENCY,
        )
    },
    "leaderboard/hidden": {
        "put": _switch("hide", "Leave the user out of every leaderboard."),
        "delete": _switch("show", "Show the user on leaderboards again."),
    },
    "prices": {"get": _read("Prices", "What can be bought.")},
    "spend": {"post": _move("Purchase", "spend", "Buy what has a price.")},
    "transfer": {"post": _move("Transfer", "transfer", "Send coins to somebody.")},
    "openapi.json": {"get": _DESCRIPTION},
}
