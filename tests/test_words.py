"""Words: English without Flask-Babel, and the language of the request with it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import flask_babel
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from flask import Flask, render_template, render_template_string
from flask_sqlalchemy import SQLAlchemy
from jinja2 import nodes

from flask_coins import Coins, InvalidInput, Reward, _words, award_once
from flask_coins.blueprint._how_often import how_much, how_often

from . import catalogs
from .apps import create_app

MOMENT = datetime(2026, 11, 22, 23, 5, tzinfo=timezone.utc)
AUCKLAND = ZoneInfo("Pacific/Auckland")  # where it is the 23rd, 12:05
DAY = date(2026, 11, 22)


@pytest.fixture
def coins() -> Coins:
    return Coins()


@pytest.fixture
def app(coins: Coins) -> Flask:
    """In memory, and without Flask-Babel."""
    return create_app("sqlite://", SQLAlchemy(), coins)


Speak = Callable[[str], None]


@pytest.fixture
def speak(app: Flask) -> Iterator[Speak]:
    """``speak("de")``: what follows is said in German, by an app with Flask-Babel."""
    flask_babel.Babel(app)
    with app.test_request_context():

        def choose(language: str) -> None:
            flask_babel.get_babel().default_locale = language
            flask_babel.refresh()

        yield choose


def catalog_of_the_host(folder: Path, language: str, text: str) -> None:
    path = folder / language / "LC_MESSAGES" / "coins.mo"
    path.parent.mkdir(parents=True)
    source = path.with_suffix(".po")
    source.write_text(text, encoding="utf-8")
    with source.open("rb") as lines, path.open("wb") as file:
        write_mo(file, read_po(lines, locale=language))


# -- English ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (lambda: _words.text("100 %"), "100 %"),
        (lambda: _words.text("%(n)s of them", n=3), "3 of them"),
        (lambda: _words.plural("%(num)s coin", "%(num)s coins", 1), "1 coin"),
        (lambda: _words.plural("%(num)s coin", "%(num)s coins", 1200), "1,200 coins"),
        (lambda: _words.units(-1), "-1 coin"),
        (lambda: _words.units(0), "0 coins"),
        (lambda: _words.units(5, "gems"), "5 gems"),
        (lambda: _words.duration(timedelta(days=1, hours=2)), "1 day 2 hours"),
        (lambda: _words.duration(timedelta(minutes=1, seconds=30)), "1 minute 30 seconds"),
        (lambda: _words.duration(timedelta(0)), "0 seconds"),
        (lambda: _words.day(MOMENT, AUCKLAND), "23 November 2026"),
        (lambda: _words.time(MOMENT, AUCKLAND), "23 November 2026, 12:05"),
        (lambda: _words.clock(MOMENT, AUCKLAND), "12:05"),
        (lambda: _words.date_of(DAY), "22 November 2026"),
        (lambda: _words.short_date_of(DAY), "22 Nov"),
        (lambda: _words.month_of(DAY), "November 2026"),
        (lambda: _words.weekday_of(DAY), "Sun"),
        (lambda: _words.reason("paragraph_close"), "Paragraph finished"),
        (lambda: _words.reason("XP_for_you"), "XP for you"),
        (lambda: _words.reason("streak_freeze", "daily_login"), "Streak freeze: Daily login"),
        (lambda: (_words.language(), _words.direction()), ("en", "ltr")),
    ],
)
def test_english_needs_nothing_installed_and_no_app(
    said: Callable[[], object], wanted: object
) -> None:
    assert said() == wanted


def test_importing_the_package_imports_nothing_optional() -> None:
    code = "import sys, flask_coins; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {"babel", "flask_admin", "flask_babel", "flask_login", "flask_wtf"}
    optional |= {"opentelemetry", "prometheus_client"}
    assert not optional & set(done.stdout.split())


def test_an_app_without_babel_speaks_english(app: Flask) -> None:
    with app.app_context():
        assert _words.units(1234) == "1,234 coins"


# -- German -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (lambda: _words.units(1), "1 Münze"),
        (lambda: _words.units(-1234), "-1.234 Münzen"),
        (lambda: _words.day(MOMENT, AUCKLAND), "23. November 2026"),
        (lambda: _words.time(MOMENT, AUCKLAND), "23. November 2026, 12:05"),
        (lambda: _words.clock(MOMENT, AUCKLAND), "12:05"),
        (lambda: _words.short_date_of(DAY), "22. Nov."),
        (lambda: _words.month_of(DAY), "November 2026"),
        (lambda: _words.weekday_of(DAY), "So"),
        (lambda: _words.reason("daily_goal"), "Tagesziel"),
        (lambda: _words.reason("night_owl"), "Night owl"),
        (lambda: _words.reason("streak_freeze", "daily_goal"), "Serienschutz: Tagesziel"),
        (_words.language, "de-AT"),
    ],
)
def test_german_comes_with_the_package(
    speak: Speak, said: Callable[[], object], wanted: object
) -> None:
    speak("de_AT")
    assert said() == wanted


def test_a_language_of_which_there_is_nothing_is_all_english(speak: Speak) -> None:
    speak("fi")
    assert _words.language() == "en"
    assert (_words.units(1234), _words.date_of(DAY)) == ("1,234 coins", "22 November 2026")


def test_another_english_keeps_its_formats(speak: Speak) -> None:
    speak("en_US")
    assert (_words.language(), _words.date_of(DAY)) == ("en-US", "November 22, 2026")


def test_a_cooldown_is_told_in_words(speak: Speak) -> None:
    speak("de")
    rule = award_once(5, "quest", timedelta(days=2, hours=1), limit=3)
    reward = Reward("quest", 5, "coins", str(rule.window), 3, None, "open")
    assert how_often(reward) == "Bis zu 3 Mal je 2 Tage 1 Stunde"


@pytest.mark.parametrize(
    ("amounts", "told"),
    [
        ([7], "7 Münzen"),
        ([15, 25], "15 oder 25 Münzen"),
        ([40, 15, 25], "15, 25 oder 40 Münzen"),
        ([1, 2, 3, 4, 5], "1, 2, 3, 4 oder 5 Münzen"),
        (range(1500, 1600), "1.500 bis 1.599 Münzen"),
    ],
)
def test_what_a_view_decides_is_told_in_words(
    speak: Speak, amounts: Iterable[int], told: str
) -> None:
    speak("de")
    reward = award_once(lambda won: won, "quest", amounts=amounts).listed(None)
    assert how_much(reward, units=True) == told
    assert how_much(reward) == told.removesuffix(" Münzen")


def test_nothing_is_told_of_an_amount_that_nobody_knows(speak: Speak) -> None:
    speak("de")
    assert how_much(award_once(lambda won: won, "quest").listed(None), units=True) == ""


def test_pages_say_which_language_they_are_in(speak: Speak) -> None:
    speak("de")
    assert '<html lang="de" dir="ltr">' in render_template("coins/base.html")


def test_babels_own_time_zone_is_not_the_users(app: Flask) -> None:
    flask_babel.Babel(app, default_timezone="America/New_York", default_locale="de")
    with app.app_context():
        assert _words.clock(MOMENT, AUCKLAND) == "12:05"


# -- the host's own words -----------------------------------------------------------------------------


POLISH = """
msgid "%(num)s coin"
msgid_plural "%(num)s coins"
msgstr[0] "%(num)s moneta"
msgstr[1] "%(num)s monety"
msgstr[2] "%(num)s monet"

msgid "Night owl"
msgstr "Nocny marek"
"""


def test_a_host_adds_a_language_with_its_plurals(app: Flask, tmp_path: Path) -> None:
    catalog_of_the_host(tmp_path, "pl", POLISH)
    flask_babel.Babel(app, default_locale="pl", default_translation_directories=str(tmp_path))
    with app.app_context():
        said = [_words.units(number) for number in (1, 2, 5, 12, 22, 1002)]
        assert said == [
            "1 moneta",
            "2 monety",
            "5 monet",
            "12 monet",
            "22 monety",
            "1\xa0002 monety",
        ]
        assert _words.reason("night_owl") == "Nocny marek"
        assert _words.language() == "pl"


def test_a_host_says_some_of_it_otherwise(app: Flask, tmp_path: Path) -> None:
    catalog_of_the_host(tmp_path, "de", 'msgid "Daily goal"\nmsgstr "Tagessoll"\n')
    flask_babel.Babel(app, default_locale="de", default_translation_directories=str(tmp_path))
    with app.app_context():
        assert _words.reason("daily_goal") == "Tagessoll"
        assert _words.units(2) == "2 Münzen"


def test_the_hosts_own_catalog_is_left_alone(app: Flask, tmp_path: Path) -> None:
    messages = tmp_path / "de" / "LC_MESSAGES" / "messages.mo"
    messages.parent.mkdir(parents=True)
    catalog = Catalog(locale="de")
    catalog.add("Daily goal", "Etwas anderes")
    with messages.open("wb") as file:
        write_mo(file, catalog)
    flask_babel.Babel(app, default_locale="de", default_translation_directories=str(tmp_path))
    with app.app_context():
        assert _words.reason("daily_goal") == "Tagesziel"
        assert flask_babel.gettext("Daily goal") == "Etwas anderes"
        assert flask_babel.gettext("Weekly goal") == "Weekly goal"


def test_pages_run_from_right_to_left_where_the_language_does(app: Flask, tmp_path: Path) -> None:
    catalog_of_the_host(tmp_path, "he", 'msgid "Coins"\nmsgstr "מטבעות"\n')
    flask_babel.Babel(app, default_locale="he", default_translation_directories=str(tmp_path))
    with app.test_request_context():
        assert '<html lang="he" dir="rtl">' in render_template("coins/base.html")


def test_two_apps_have_each_their_own(tmp_path: Path) -> None:
    said = []
    for name in ("Eins", "Zwei"):
        catalog_of_the_host(tmp_path / name, "de", f'msgid "Daily goal"\nmsgstr "{name}"\n')
        app = create_app("sqlite://", SQLAlchemy(), Coins())
        flask_babel.Babel(
            app, default_locale="de", default_translation_directories=str(tmp_path / name)
        )
        with app.app_context():
            said.append(_words.reason("daily_goal"))
    assert said == ["Eins", "Zwei"]


def test_a_loader_names_reasons_and_their_subjects(app: Flask, coins: Coins) -> None:
    @coins.words_loader
    def name(reason: str, subject: str | None) -> str | None:
        return f"Exam {subject} passed" if reason == "exam" else None

    with app.app_context():
        assert _words.reason("exam", "math") == "Exam math passed"
        assert _words.reason("daily_goal", "7") == "Daily goal"


def test_what_a_loader_says_is_text(app: Flask, coins: Coins) -> None:
    coins.words_loader(lambda reason, subject: f"<b>{subject}</b>")
    with app.app_context():
        shown = render_template_string("{{ coins_reason('exam', 'a') }}")
    assert shown == "&lt;b&gt;a&lt;/b&gt;"


def test_a_loader_is_a_function(coins: Coins) -> None:
    with pytest.raises(InvalidInput, match="words_loader"):
        coins.words_loader("Exam")  # type: ignore[type-var]


# -- the catalogs -------------------------------------------------------------------------------------


def messages_of(catalog: Catalog) -> set[object]:
    return {message.id for message in catalog if message.id}


def test_the_template_holds_every_message() -> None:
    assert messages_of(catalogs.read(catalogs.FOLDER / "coins.pot")) == messages_of(
        catalogs.collected()
    ), "run python -m tests.catalogs"


@pytest.mark.parametrize("path", catalogs.languages(), ids=lambda path: path.parts[-3])
class TestOneLanguage:
    def test_it_is_whole(self, path: Path) -> None:
        catalog = catalogs.read(path)
        assert messages_of(catalog) == messages_of(catalogs.collected())
        assert not catalog.obsolete
        for message in catalog:
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            assert all(forms), message.id
            assert not message.fuzzy, message.id

    def test_its_placeholders_are_those_of_the_message(self, path: Path) -> None:
        for message in (each for each in catalogs.read(path) if each.id):
            wanted, is_plural = placeholders(message.id), isinstance(message.string, tuple)
            # "Once a day" says its number in words.
            spoken = {"%(num)s"} if is_plural else set()
            for form in message.string if is_plural else [message.string]:
                assert placeholders(form) <= wanted <= placeholders(form) | spoken, message.id

    def test_it_is_compiled_as_it_is(self, path: Path) -> None:
        with path.with_suffix(".mo").open("rb") as file:
            compiled = read_mo(file)
        for written in (each for each in catalogs.read(path) if each.id):
            found = compiled.get(written.id)
            assert found, f"{written.id}: run python -m tests.catalogs"
            assert list(found.string) == list(written.string)


def placeholders(text: str | tuple[str, ...] | list[str]) -> set[str]:
    """Those of a text, or of a plural: ``1 day`` may leave its number out in words."""
    joined = text if isinstance(text, str) else " ".join(text)
    return set(re.findall(r"%\(\w+\)s|%%", joined))


# -- templates ----------------------------------------------------------------------------------------


class Visible(HTMLParser):
    """Collects the texts and the spoken attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        spoken = {"alt", "aria-label", "aria-description", "placeholder", "title", "summary"}
        self.found += [value or "" for name, value in attrs if name in spoken]


def bare_words(source: str) -> list[str]:
    """Words of a template's visible text that no function has said."""
    tree = Flask(__name__).jinja_env.parse(source)
    parts = [
        each.data if isinstance(each, nodes.TemplateData) else "\N{OBJECT REPLACEMENT CHARACTER}"
        for output in tree.find_all(nodes.Output)
        for each in output.nodes
    ]
    page = Visible()
    page.feed("".join(parts))
    literal = [
        each.value
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
        for each in ([node] if isinstance(node, nodes.Const) else [])
    ]
    return [
        word for text in [*page.found, *literal] for word in re.findall(r"[^\W\d_]{2,}", str(text))
    ]


TEMPLATES = sorted((catalogs.PACKAGE / "blueprint" / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_that_cannot_be_translated(path: Path) -> None:
    assert bare_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Hello</p>",
        '<img alt="A coin">',
        '<p title="{{ x }} more">{{ x }}</p>',
        "{% if x %}Yes{% endif %}",
        "{{ 'Yes' }}",
    ],
)
def test_bare_words_are_found(source: str) -> None:
    assert bare_words(source)
