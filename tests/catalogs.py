"""Collects what people read into the catalogs: ``python -m tests.catalogs``, then translate, then again.

The first run brings ``coins.pot`` and every ``coins.po`` up to date; the second compiles what was
translated.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import flask_coins

PACKAGE = Path(flask_coins.__file__).parent
FOLDER = PACKAGE / "translations"
_METHODS = [
    ("_words.py", "python"),
    ("flask_admin.py", "python"),
    ("blueprint/**.py", "python"),
    ("blueprint/templates/**.html", "jinja2.ext:babel_extract"),
]
_OPTIONS = {"**.html": {"silent": "false"}}
_KEYWORDS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(["later", "text", "coins_text"]),
    **dict.fromkeys(["plural", "coins_plural"], (1, 2)),
}
_HEADER = {
    "project": "Flask-Coins",
    "version": flask_coins.__version__,
    "fuzzy": False,
    "header_comment": "# This file is distributed under the license of Flask-Coins.",
    # The moment of a run would change the files with each.
    "creation_date": datetime(2026, 11, 26, tzinfo=timezone.utc),
    "revision_date": datetime(2026, 11, 26, tzinfo=timezone.utc),
}


@cache
def collected() -> Catalog:
    """Every message of the package."""
    catalog = Catalog(**_HEADER)  # type: ignore[arg-type]
    found = extract_from_dir(PACKAGE, _METHODS, _OPTIONS, _KEYWORDS)
    for _, _, message, _, context in found:
        catalog.add(message, context=context)
    return catalog


def languages() -> list[Path]:
    """The ``coins.po`` of each language."""
    return sorted(FOLDER.glob("*/LC_MESSAGES/coins.po"))


def read(path: Path) -> Catalog:
    """A catalog from its file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def main() -> None:
    """Bring the files up to date."""
    now = collected()
    _write(now, FOLDER / "coins.pot")
    for path in languages():
        catalog = read(path)
        catalog.update(now, no_fuzzy_matching=True)
        _write(catalog, path)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)
        lacking = [each.id for each in catalog if each.id and not each.string]
        print(path.parts[-3], len(catalog), "messages, not translated:", *lacking, sep="\n  ")


def _write(catalog: Catalog, path: Path) -> None:
    with path.open("wb") as file:
        write_po(file, catalog, width=100, sort_output=True, ignore_obsolete=True)


if __name__ == "__main__":
    main()
