"""A browser that holds every answer of the API to the document that describes it."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.test import TestResponse

from flask_coins.blueprint._openapi import document as openapi_document
from flask_coins.blueprint._openapi_paths import PATHS

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_moment(text: Any) -> bool:
    """Whether it is written as RFC 3339 wants it, in UTC."""
    return not isinstance(text, str) or (
        text.endswith("Z") and bool(datetime.fromisoformat(text[:-1]))
    )


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same, with no member allowed that is not described."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        schema["additionalProperties"] = False
    return document


DOCUMENT = strict(openapi_document("/coins/api", "session", PATHS))
PROBLEMS = DOCUMENT["components"]["responses"]


class HeldClient(FlaskClient):
    """Checks each answer under ``root``; ``user`` is who is logged in, by the header X-User."""

    root = "/coins/api"
    user: str | None = None

    def open(self, *args: Any, headers: Any = None, **more: Any) -> TestResponse:
        """The answer, which is as described."""
        named = {"X-User": self.user} if self.user else {}
        response = super().open(*args, headers={**named, **dict(headers or {})}, **more)
        if response.request.path.startswith(f"{self.root}/"):
            self.hold(response)
        return response

    def hold(self, response: TestResponse) -> None:
        """Fail unless ``response`` is one that the document has."""
        method = response.request.method.replace("HEAD", "GET").lower()
        path = DOCUMENT["paths"].get(response.request.path.removeprefix(self.root))
        if method == "options":
            return
        if path is None or method not in path:
            answers = {"404": PROBLEMS["404"]} if path is None else {"405": PROBLEMS["405"]}
        else:
            answers = path[method]["responses"]
        status = str(response.status_code)
        described = answers.get(status) or answers["default"]
        if "$ref" in described:
            described = PROBLEMS[described["$ref"].rpartition("/")[2]]
        fits(response, described)


def fits(response: TestResponse, described: dict[str, Any]) -> None:
    """Fail unless headers and body are as ``described``."""
    for name, header in described.get("headers", {}).items():
        given = response.headers.get(name)
        assert given is not None or not header.get("required"), name
        check(given, header["schema"] if given else {})
    content = described.get("content", {})
    assert (response.mimetype in content) if content else not response.data
    if response.request.method != "HEAD" and content:
        check(response.json, content[response.mimetype]["schema"])


def check(value: Any, schema: dict[str, Any]) -> None:
    """Fail unless ``value`` is of ``schema``."""
    whole = schema | {"components": DOCUMENT["components"]}
    Draft202012Validator(whole, format_checker=FORMATS).validate(value)
