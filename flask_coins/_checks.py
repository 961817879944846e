"""What may be stored: every argument of a call becomes a checked, plain value before any SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import InstanceState
from werkzeug.local import LocalProxy

from ._models import MAX_AMOUNT
from .errors import InvalidAmount, InvalidInput, InvalidSubject, NoUserError

# MariaDB compares with trailing spaces ignored; control characters and lone surrogates do not
# survive every driver.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]| \\Z")

F = TypeVar("F", bound=Callable[..., Any])

_ABSENT = object()

FORGOTTEN = "forgotten:"
"""How the ids of people begin who were erased. Nobody else's may."""

_DEEPEST = 31
"""What MariaDB takes for JSON is no deeper."""

_COINS_ID = """\
Pass an id (int, str, UUID) or a mapped object, or give the class a coins_id:

    @property
    def coins_id(self):
        return f"student:{self.id}\""""


def shown(value: Any) -> str:
    """``repr(value)`` for a message, cut short; also of what cannot be printed."""
    try:
        words = repr(value)
    except Exception:  # noqa: BLE001  # the error to tell of is another
        return f"this {type(value).__name__}"
    return words if len(words) <= 80 else f"{words[:79]}…"


def text(value: Any, name: str, longest: int, error: type[InvalidInput] = InvalidInput) -> str:
    """``value`` if it is a str of 1 to ``longest`` characters that every database keeps as it is."""
    if not isinstance(value, str):
        raise error(f"{name} must be a str, not {shown(value)}.")
    if not 1 <= len(value) <= longest:
        raise error(f"{name} must have 1 to {longest} characters, not {len(value)}.")
    if _FORBIDDEN.search(value):
        raise error(
            f"{name} {shown(value)} must not end in a space nor hold control characters or surrogates."
        )
    return str.__str__(value)  # an enum's own str() would be its name


def amount(value: Any) -> int:
    """``value`` if it is a whole number of coins that can be moved."""
    if type(value) is not int or not 1 <= value <= MAX_AMOUNT:
        raise InvalidAmount(f"An amount is an int from 1 to {MAX_AMOUNT:,}, not {shown(value)}.")
    return value


def reason(value: Any) -> str:
    """A checked reason, 1 to 64 characters."""
    return text(value, "A reason", 64)


def currency(value: Any) -> str:
    """A checked currency, 1 to 16 characters."""
    return text(value, "A currency", 16)


def idempotency_key(value: Any) -> str | None:
    """A checked key, 1 to 128 characters, or None."""
    return None if value is None else text(value, "An idempotency key", 128)


def limit(value: Any) -> int:
    """How often a window may pay, or how many entries are wanted: 1 to 1000."""
    if type(value) is not int or not 1 <= value <= 1000:
        raise InvalidInput(f"A limit is an int from 1 to 1000, not {shown(value)}.")
    return value


def details(value: Any) -> Any:
    """``value`` as JSON gives it back (RFC 8259: no NaN, no infinity, no lone surrogate)."""
    if value is None:
        return None
    try:
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        written.encode()
        if _depth(value) > _DEEPEST:
            raise ValueError(f"lists and objects may lie {_DEEPEST} deep")
        return json.loads(written)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"Details must be JSON: {error}.") from error


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(_depth, value), default=0)


def subject(value: Any) -> str:
    """The stored form of a subject; the empty text stands for none."""
    if value is None:
        return ""
    value = _unwrapped(value)
    state = _saved(value)
    plain = _plain(value) if state is None or state.identity else None
    if plain is None:
        raise InvalidSubject(
            f"A subject is a str, int, UUID or a saved, mapped object, not {shown(value)}."
        )
    return text(plain, "A subject", 128, InvalidSubject)


def is_anonymous(user: Any) -> bool:
    """Whether ``user`` stands for nobody: None, or an object that says so, as Flask-Login's does."""
    user = _unwrapped(user)
    return user is None or getattr(user, "is_authenticated", True) is False


def user_id(user: Any, *, forgotten: bool = False) -> str:
    """The id of ``user`` as text; a pending object is flushed to get one, nothing else runs SQL.

    A ``coins_id`` alone decides where there is one: beside it, no other id is asked for. One of a
    person who was erased is refused, unless ``forgotten`` may be looked at.
    """
    found = _user_id(user)
    if found.startswith(FORGOTTEN) and not forgotten:
        raise InvalidInput(
            f"{found!r} is the id of somebody who was erased: no coins are moved there. Ids of your own"
            f" may not begin with {FORGOTTEN!r}."
        )
    return found


def _user_id(user: Any) -> str:
    if type(user) is int or type(user) is str:
        return text(_plain(user), "A user id", 64)
    user = _unwrapped(user)
    if is_anonymous(user):
        raise NoUserError("There is no user: nobody is logged in. Pass an id or an object.")
    named = _coins_id(user)
    if named is not _ABSENT:
        plain = _plain(named)
        if plain is None:
            raise InvalidInput(f"The coins_id of {shown(user)} is {shown(named)}. {_COINS_ID}")
        return text(plain, "A coins_id", 64)
    state = _saved(user)
    if state is not None and state.identity is None:
        raise InvalidInput(f"{shown(user)} has no identity: add it to the session. {_COINS_ID}")
    plain = _plain(user)
    if plain is None and not isinstance(user, type) and callable(getattr(user, "get_id", None)):
        plain = _plain(user.get_id())
    if plain is None:
        raise InvalidInput(f"{shown(user)} has no id that coins could be kept under. {_COINS_ID}")
    return text(plain, "A user id", 64)


def is_packed(kind: Any) -> bool:
    """Whether SQLAlchemy keeps a UUID in such a column, where the database has no type for it."""
    return isinstance(kind, sa.CHAR) and kind.length == 32


def unpacked(value: Any) -> Any:
    """A UUID from such a column as the text that an app uses; any other value as it is."""
    packed = isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value)
    return str(UUID(value)) if packed else value


def user_ids(users: Any) -> list[str]:
    """The ids of several users; a text is one user, not a list of its characters."""
    if isinstance(users, str | bytes) or not isinstance(users, Iterable):
        raise InvalidInput(f"users is a list or another iterable of users, not {shown(users)}.")
    return [user_id(user, forgotten=True) for user in users]


def function(value: F, name: str) -> F:
    """``value`` if it can be called for its answer: a coroutine would count as a yes."""
    if not callable(value):
        raise InvalidInput(f"{name} must be a function, not {shown(value)}.")
    if iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__):
        raise InvalidInput(f"{name} cannot be async: it is called, not awaited.")
    return value


def _unwrapped(value: Any) -> Any:
    while isinstance(value, LocalProxy):
        value = value._get_current_object()
    return value


def _coins_id(user: Any) -> Any:
    """What ``user.coins_id`` is; ``_ABSENT`` if there is no such attribute.

    It is asked before an unsaved object is flushed, and again after that if it needs the key.
    """
    state = sa.inspect(user, raiseerr=False)
    if not isinstance(state, InstanceState) or state.identity is not None:
        return _attribute(user)
    try:
        named = _attribute(user)
    except Exception:
        if state.session is None:
            raise
    else:
        # A key that is still to come reads as None, also within a longer text.
        if named is _ABSENT or (named is not None and "None" not in str(named)):
            return named
    return _attribute(user) if _has_key(state) else _ABSENT


def _attribute(user: Any) -> Any:
    try:
        return user.coins_id
    except AttributeError as error:
        # One that was raised inside a property is a fault of the property.
        if error.name != "coins_id" or _declares(user) or _declares(error.obj):
            raise
        return _ABSENT


def _declares(value: Any) -> bool:
    return any("coins_id" in vars(cls) for cls in type(value).__mro__)


def _plain(value: Any) -> str | None:
    """The text of an id: a str, int or UUID, or the identity of a mapped object; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # Python prints no numbers beyond some length; those are refused as too long.
        return str(int(value)) if value.bit_length() <= 512 else "9" * 155
    state = _saved(value)
    if state is None or state.identity is None or len(state.identity) != 1:
        return None
    return _plain(state.identity[0])


def _saved(value: Any) -> InstanceState[Any] | None:
    """The state of a mapped object; a pending one is flushed first, so that it has its key."""
    state = sa.inspect(value, raiseerr=False)
    if not isinstance(state, InstanceState):
        return None
    _has_key(state)
    return state


def _has_key(state: InstanceState[Any]) -> bool:
    if state.identity is None and state.session is not None:
        state.session.flush()
    return state.identity is not None
