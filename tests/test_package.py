"""What an installation holds, whether it was made from a wheel, an sdist or a checkout."""

from __future__ import annotations

from configparser import ConfigParser
from importlib.metadata import entry_points, metadata, requires
from importlib.resources import files
from pathlib import Path

import pytest

import flask_coins

ROOT = Path(__file__).parent.parent


def test_one_version_is_told_everywhere() -> None:
    version = metadata("Flask-Coins")["Version"]
    assert version == flask_coins.__version__
    assert f"## {version} - " in (ROOT / "CHANGES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "needed",
    ["Flask>=3.0", "Flask-SQLAlchemy>=3.1", "SQLAlchemy>=2.0.23", "Flask-Migrate>=4.0.5"],
)
def test_dependencies_have_lower_bounds_only(needed: str) -> None:
    assert needed.lower() in [line.lower() for line in requires("Flask-Coins") or []]


def test_old_interpreters_are_refused() -> None:
    assert metadata("Flask-Coins")["Requires-Python"] == ">=3.10"


def test_types_are_shipped() -> None:
    assert files("flask_coins").joinpath("py.typed").is_file()


def test_migration_steps_are_shipped_whole() -> None:
    shipped = files("flask_coins.migrations").joinpath("versions").iterdir()
    kept = (ROOT / "migrations" / "versions").glob("*.py")
    assert {step.name for step in shipped if step.name.endswith(".py")} == {
        step.name for step in kept
    }


def test_flask_finds_the_commands() -> None:
    (found,) = entry_points(group="flask.commands", name="coins")
    assert found.load().name == "coins"


def test_every_package_is_listed() -> None:
    listed = ConfigParser()
    listed.read(ROOT / "setup.cfg", encoding="utf-8")
    source = Path(flask_coins.__file__).parent
    folders = {init.parent for init in source.rglob("__init__.py")}
    packages = {".".join(folder.relative_to(source.parent).parts) for folder in folders}
    assert set(listed["options"]["packages"].split()) == packages | {"flask_coins.migrations"}
