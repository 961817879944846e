"""What an installation holds, whether it was made from a wheel, an sdist or a checkout."""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from importlib import import_module
from importlib.metadata import entry_points, metadata, requires
from importlib.resources import files
from pathlib import Path

import pytest

import flask_coins

ROOT = Path(__file__).parent.parent


def setup() -> ConfigParser:
    """What ``setup.cfg`` says."""
    found = ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


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
    listed = setup()
    source = Path(flask_coins.__file__).parent
    folders = {init.parent for init in source.rglob("__init__.py")}
    packages = {".".join(folder.relative_to(source.parent).parts) for folder in folders}
    assert set(listed["options"]["packages"].split()) == packages | {"flask_coins.migrations"}


def test_every_template_style_and_catalog_is_listed() -> None:
    source = Path(flask_coins.__file__).parent
    files = {path for path in source.rglob("*") if path.is_file()}
    listed = {
        path
        for package, patterns in setup()["options.package_data"].items()
        for pattern in patterns.split(", ")
        for path in source.parent.joinpath(*package.split(".")).glob(pattern)
    }
    assert {path for path in files - listed if path.suffix not in (".py", ".pyc")} == set()


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("flask_admin", "flask_admin", "admin"),
        ("otel", "opentelemetry.trace", "otel"),
        ("prometheus", "prometheus_client", "prometheus"),
    ],
)
def test_a_module_says_which_extra_is_missing(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"flask_coins.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the extra") as caught:
        import_module(f"flask_coins.{module}")
    assert f'pip install "Flask-Coins[{extra}]"' in str(caught.value)
    assert caught.value.name == package


@pytest.mark.parametrize("extra", setup()["options.extras_require"])
def test_every_extra_is_told_of(extra: str) -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]
    told = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert re.search(rf"`{extra}`|\[[a-z,]*\b{extra}\b[a-z,]*\]\"", told)
