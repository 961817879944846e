"""The shipped revisions, and their copies in a host's migrations folder.

A copy's id carries its parent's: a copy under another parent is another revision, so Alembic never
takes one of the host's own revisions for run when it has not. The copies import only Alembic and
SQLAlchemy, and stay the host's when Flask-Coins is uninstalled.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError, coerce_resource_to_filename

from ._models import CORE, OWN_COLUMNS
from .errors import CoinsError

COPY_ID = re.compile(r"(coins_\d{4})_(\w{8})")
"""The id of a copy: the shipped revision, and the mark of the parent."""
_ORIGIN = re.compile(r"^# Origin: Flask-Coins \S+, revision (coins_\d{4})\.$", re.MULTILINE)
_NAMED = re.compile(rf"""["']{COPY_ID.pattern}["']""")
_RANDOM_ID = re.compile(r"(?=.*[a-f])[0-9a-f]{12}")
"""An id of Alembic's making: people who number, or write the date, use digits only."""
_ID_LINE = re.compile(r"""^revision\b[^=\n]*=\s*["']([^"'\n]+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Shipped:
    """A revision of the package: the template of its copies."""

    id: str
    slug: str
    text: str

    @property
    def tables(self) -> set[str]:
        """The tables that it makes."""
        return set(re.findall(r'op\.create_table\(\s*"(\w+)"', self.text))

    def copy(self, mark: str, parent: str | None, place: Path, bind_key: str | None) -> Copy:
        """The copy under ``parent``, whose ``mark`` it bears: the same bytes every time."""
        copy_id = f"{self.id}_{mark}"
        text = self.text
        for name, value in {
            "Revision ID:": copy_id,
            "Revises:": parent or "",
            "revision =": json.dumps(copy_id),
            "down_revision =": json.dumps(parent) if parent else "None",
            "bind_key =": json.dumps(bind_key or ""),
        }.items():
            line = f"{name} {value}".rstrip().replace("\\", r"\\")
            text = re.sub(rf"^{name}.*$", line, text, count=1, flags=re.MULTILINE)
        return Copy(copy_id, place / f"{copy_id}_{self.slug}.py", text)


@dataclass(frozen=True)
class Copy:
    """What a revision of the package becomes in a host: a file that is still to be written."""

    id: str
    path: Path
    text: str

    def write(self) -> Path:
        """Write it in one step: processes that start together write the same bytes."""
        part = self.path.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            self.path.parent.mkdir(exist_ok=True)
            part.write_bytes(self.text.encode())
            return part.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise CoinsError(
                f"{self.path} cannot be written ({error.strerror}): run 'flask coins install' "
                "where the folder can be written, and commit the file."
            ) from error


class Folder:
    """A host's migrations folder, read as Alembic reads it.

    Raises CoinsError when it does not load: a revision that others build on is gone, or one of
    them cannot be read.
    """

    def __init__(self, config: Config) -> None:
        self.script = ScriptDirectory.from_config(config)
        if lost := _lost(self.script):
            raise CoinsError(
                f"{self.script.dir} has lost the revision {lost}, on which others build: "
                "restore its file from version control."
            )
        self.revisions = {each.revision: each for each in self.script.walk_revisions()}

    @cached_property
    def heads(self) -> list[str]:
        """The ids that nothing builds on."""
        return sorted(self.script.get_heads())

    @cached_property
    def copies(self) -> dict[str, Script]:
        """The copies that are there, by the id of the shipped revision."""
        return {it: script for script in self.revisions.values() if (it := _origin(script))}

    @cached_property
    def own_way(self) -> dict[str, set[str]]:
        """The host's own revisions that make tables of ours, and which: the work of autogenerate."""
        others = [script for script in self.revisions.values() if not _origin(script)]
        return {script.revision: made for script in others if (made := _tables_made(script))}

    @cached_property
    def makers(self) -> set[str]:
        """The ids of all revisions that make our tables."""
        return {it for it, script in self.revisions.items() if _origin(script)} | set(self.own_way)

    def tip(self, head: str | None = None) -> str | None:
        """The id after which copies go: the one head, or ``head``; None is the beginning."""
        if head == "base":
            return None
        if head is None and len(self.heads) > 1:
            raise CoinsError(
                f"{self.script.dir} has several heads ({', '.join(self.heads)}): join them with "
                "'flask db merge heads', or choose one with 'flask coins install --head'."
            )
        try:
            found = self.script.get_revision(head or "head")
        except CommandError as error:
            raise CoinsError(f"No revision to go after in {self.script.dir}: {error}") from error
        return found.revision if found else None

    @cached_property
    def absent(self) -> list[Shipped]:
        """What has no copy here, and is not made by the host itself."""
        own = set().union(*self.own_way.values())
        if own >= CORE:
            return []
        lacking = [revision for revision in shipped() if revision.id not in self.copies]
        return [it for it in lacking if not it.tables or not it.tables <= own]

    def missing(self, bind_key: str | None, head: str | None = None) -> list[Copy]:
        """The copies that are to be written, each the parent of the next."""
        parent = self.tip(head) if self.absent or head else None
        place = self._place_after(parent)
        copies: list[Copy] = []
        for revision in self.absent:
            copies.append(revision.copy(_mark(parent, self.revisions), parent, place, bind_key))
            parent = copies[-1].id
        return copies

    def ancestors(self, heads: Iterable[str]) -> set[str]:
        """The ids of ``heads`` and of all they build on."""
        found = tuple(heads)
        scripts = self.script.iterate_revisions(found, "base") if found else ()
        return {script.revision for script in scripts}

    def line_to(self, copy_id: str) -> list[str]:
        """A revision of the folder, and the lost copies on it up to ``copy_id``.

        The empty text is the beginning; the list is empty when no such revision is here, or when it
        may be one of several.
        """
        return _line(copy_id, self.revisions)

    def _place_after(self, parent: str | None) -> Path:
        known = self.revisions.get(parent or "")
        return Path(known.path).parent if known else _locations(self.script)[0]


def environment() -> Path:
    """The package's own migrations folder."""
    return Path(str(files("flask_coins.migrations"))).resolve()


def shipped() -> list[Shipped]:
    """The package's revisions, in order."""
    found = [
        Shipped(name[1], name[2], file.read_text("utf-8"))
        for file in (files("flask_coins.migrations") / "versions").iterdir()
        if (name := re.fullmatch(r"(coins_\d{4})_(\w+)\.py", file.name))
    ]
    return sorted(found, key=lambda revision: revision.id)


def lost_copy(config: Config, bind_key: str | None) -> Copy | None:
    """The copy that other revisions build on though it is gone, just as it was.

    None when there is none, or when the revision that its line of copies began on is gone as well
    or may be one of several.
    """
    script = ScriptDirectory.from_config(config)
    line = _line(_lost(script) or "", _ids(script))
    if not line:
        return None
    parent, copy_id = line[-2:]
    (template,) = (revision for revision in shipped() if revision.id == copy_id[:10])
    return template.copy(copy_id[11:], parent or None, _locations(script)[0], bind_key)


def holds_copy(config: Config) -> bool:
    """Whether a copy is, or once was, among the revisions of the folder, also if it does not load."""
    texts = _texts(ScriptDirectory.from_config(config))
    return any(_ORIGIN.search(text) or _NAMED.search(text) for text in texts)


def _mark(parent: str | None, ids: Iterable[str]) -> str:
    """Eight characters that stand for the parent's id, and for no other of ``ids``."""
    others = {mark for each in ids if each != parent for mark in _marks(each)}
    *marks, digest = _marks(parent or "")
    return next((mark for mark in marks if mark not in others), digest)


def _marks(parent: str) -> list[str]:
    """What may stand for an id, the better first: ids that people number share their beginnings."""
    digest = hashlib.sha256(parent.encode()).hexdigest()[:8]
    return [parent[:8], digest] if _RANDOM_ID.fullmatch(parent) else [digest]


def _line(copy_id: str, ids: Iterable[str]) -> list[str]:
    """One of ``ids``, or the empty text, and the copies on it up to ``copy_id``: as few as can be."""
    numbers = [revision.id for revision in shipped() if revision.id <= copy_id[:10]]
    parents = {"", *ids}
    for first in reversed(range(len(numbers))):
        lines = (line for each in parents for line in _lines_on(each, numbers[first:]))
        found = [line for line in lines if line[-1] == copy_id]
        if found:
            return found[0] if len(found) == 1 else []
    return []


def _lines_on(parent: str, numbers: list[str]) -> Iterator[list[str]]:
    """``parent``, and the ids that the copies of the revisions ``numbers`` may have on it."""
    for mark in _marks(parent):
        line = [parent, f"{numbers[0]}_{mark}"]
        for number in numbers[1:]:
            line.append(f"{number}_{_marks(line[-1])[-1]}")
        yield line


def _origin(script: Script) -> str | None:
    if name := COPY_ID.fullmatch(script.revision):
        return name[1]
    line = _ORIGIN.search(_text(script))
    return line[1] if line else None


def _tables_made(script: Script) -> set[str]:
    """The tables, ours by their columns, that the functions for an upgrade make."""
    with suppress(SyntaxError, ValueError):  # of a compiled file there is no text
        functions = [
            node
            for node in ast.parse(_text(script)).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("upgrade")
        ]
        tables = [call for each in functions for call in _calls(each, "create_table")]
        columns = [{_first(it) for it in _calls(table, "Column")} for table in tables]
        made = [(_first(table), names) for table, names in zip(tables, columns, strict=True)]
        return {name for name, names in made if name and names >= OWN_COLUMNS.get(name, {""})}
    return set()


def _calls(node: ast.AST, name: str) -> list[ast.Call]:
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).rpartition(".")[2] == name]


def _first(call: ast.Call) -> str | None:
    """The first argument of a call, where it is a text."""
    match call.args[:1]:
        case [ast.Constant(value=str(text))]:
            return text
    return None


def _text(script: Script) -> str:
    return Path(script.path).read_text("utf-8", errors="replace")


def _lost(script: ScriptDirectory) -> str | None:
    """The id of a revision that others build on and that is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            script.get_heads()
        except KeyError as missing:
            return str(missing.args[0])
        except Exception as error:  # a file that is loaded may raise anything
            name = "" if isinstance(error, CommandError) else f"{type(error).__name__}: "
            line = str(error).partition("\n")[0]
            raise CoinsError(f"{script.dir} cannot be read: {name}{line}") from error
    return None


def _locations(script: ScriptDirectory) -> list[Path]:
    named = [str(place) for place in script.version_locations or ()]
    return [Path(coerce_resource_to_filename(it)) for it in named] or [Path(script.dir, "versions")]


def _ids(script: ScriptDirectory) -> list[str]:
    return [id_ for text in _texts(script) for id_ in _ID_LINE.findall(text)]


def _texts(script: ScriptDirectory) -> list[str]:
    paths = [path for place in _locations(script) for path in place.glob("*.py")]
    return [path.read_text("utf-8", errors="replace") for path in paths]
