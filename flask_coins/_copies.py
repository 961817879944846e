"""The shipped revisions, and their copies in a host's migrations folder.

A copy's id carries its parent's: a copy under another parent is another revision, so Alembic never
takes one of the host's own revisions for run when it has not. The copies import only Alembic and
SQLAlchemy, and stay the host's when Flask-Coins is uninstalled.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError, coerce_resource_to_filename

from .errors import CoinsError

COPY_ID = re.compile(r"(coins_\d{4})_(\w{8})")
"""The id of a copy: the shipped revision, and the mark of the parent."""
_ORIGIN = re.compile(r"^# Origin: Flask-Coins \S+, revision (coins_\d{4})\.$", re.MULTILINE)
_OWN_WAY = re.compile(r"""create_table\(\s*["']coin_balance["']""")
_ID_LINE = re.compile(r"""^revision\b[^=\n]*=\s*["']([^"'\n]+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Shipped:
    """A revision of the package: the template of its copies."""

    id: str
    slug: str
    text: str

    def copy(self, parent: str | None, place: Path, bind_key: str | None) -> Copy:
        """The copy under ``parent``, byte for byte the same every time."""
        copy_id = f"{self.id}_{_mark(parent)}"
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
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(exist_ok=True)
            part.write_bytes(self.text.encode())
            return part.replace(self.path)
        except OSError as error:
            raise CoinsError(
                f"{self.path} cannot be written ({error.strerror}): run 'flask coins install' "
                "where the folder can be written, and commit the file."
            ) from error


class Folder:
    """A host's migrations folder, read as Alembic reads it.

    Raises CoinsError when it does not load, because a revision that others build on is gone.
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
    def own_way(self) -> str | None:
        """The host's own revision that makes the tables: the work of autogenerate."""
        for script in self.revisions.values():
            if not _origin(script) and _OWN_WAY.search(_text(script)):
                return script.revision
        return None

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
        """What has no copy here; nothing where the host makes the tables itself."""
        wanted = [] if self.own_way else shipped()
        return [revision for revision in wanted if revision.id not in self.copies]

    def missing(self, bind_key: str | None, head: str | None = None) -> list[Copy]:
        """The copies that are to be written, each the parent of the next."""
        parent = self.tip(head) if self.absent else None
        place = self._place_after(parent)
        copies: list[Copy] = []
        for revision in self.absent:
            copies.append(revision.copy(parent, place, bind_key))
            parent = copies[-1].id
        return copies

    def ancestors(self, heads: Iterable[str]) -> set[str]:
        """The ids of ``heads`` and of all they build on."""
        found = tuple(heads)
        scripts = self.script.iterate_revisions(found, "base") if found else ()
        return {script.revision for script in scripts}

    def parent_of(self, copy_id: str) -> str | None:
        """The revision whose mark ``copy_id`` carries; "base" for the beginning, None: not here."""
        return _parent(copy_id, self.revisions)

    def _place_after(self, parent: str | None) -> Path:
        known = self.revisions.get(parent or "")
        return Path(known.path).parent if known else _locations(self.script)[0]


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

    None when there is none, or when its parent is gone as well.
    """
    script = ScriptDirectory.from_config(config)
    lost = _lost(script)
    parent = _parent(lost, _ids(script)) if lost else None
    place = _locations(script)[0]
    for revision in shipped() if parent else []:
        copy = revision.copy(None if parent == "base" else parent, place, bind_key)
        if copy.id == lost:
            return copy
    return None


def _mark(parent: str | None) -> str:
    """Eight characters for the parent's id. Ids that people number share their beginnings."""
    if parent and re.fullmatch(r"[0-9a-f]{12}", parent):
        return parent[:8]
    return hashlib.sha256((parent or "").encode()).hexdigest()[:8]


def _parent(copy_id: str, ids: Iterable[str]) -> str | None:
    name = COPY_ID.fullmatch(copy_id)
    if name and name[2] == _mark(None):
        return "base"
    return next((each for each in ids if name and name[2] == _mark(each)), None)


def _origin(script: Script) -> str | None:
    if name := COPY_ID.fullmatch(script.revision):
        return name[1]
    line = _ORIGIN.search(_text(script))
    return line[1] if line else None


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
    return None


def _locations(script: ScriptDirectory) -> list[Path]:
    named = [str(place) for place in script.version_locations or ()]
    return [Path(coerce_resource_to_filename(it)) for it in named] or [Path(script.dir, "versions")]


def _ids(script: ScriptDirectory) -> list[str]:
    texts = [
        path.read_text("utf-8", errors="replace")
        for place in _locations(script)
        for path in place.glob("*.py")
    ]
    return [id_ for text in texts for id_ in _ID_LINE.findall(text)]
