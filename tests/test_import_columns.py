"""The quick way of an import says of whole columns what the slow one says of each row, or nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_coins._import_columns import Columns, Keys
from flask_coins._import_rows import Plan, Row, Rows
from flask_coins._models import MAX_AMOUNT
from flask_coins.errors import InvalidInput

NAMES = ["id", "user_id", "amount", "reason", "created_at", "currency", "subject", "details"]
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
USUAL = ["7", "ann", "10", "goal", "2026-11-20 09:00:00", "gems", "hat", None]

odd_texts = st.sampled_from(
    [
        "",
        " ",
        "a ",
        "a |b",
        "a|b",
        "é",
        "\\",
        "\t",
        "\ud800",
        "x" * 65,
        "forgotten:1",
        "0",
        "-0",
        "-5",
    ]
)
odd_values = st.sampled_from(
    [None, True, 0, -3, 7, 1.5, MAX_AMOUNT + 1, 10**5000, UUID(int=7), [1], {"n": 1}, NOW]
)
odd_moments = st.sampled_from(
    [
        *("2026-11-20", "2026-11-20T09:00:00Z", "2026-11-20 09:00:00+02:00", "20261120T090000"),
        *("2026-02-30 09:00:00", "1000-01-01 09:00:00", "0001-01-01 00:00:00+09:00", "Z"),
        *("2026-11-22 12:04:00", "2026-11-22 12:06:00", "2026-11-20T09:00:00.123456+00:00"),
        *("9999-12-31 23:59:59-09:00", "2026-11-20 09:00:00|2026-11-20 09:00:00"),
    ]
)
amounts = st.one_of(st.integers(-20, 20), st.sampled_from([MAX_AMOUNT, -MAX_AMOUNT - 1])).map(str)
cells = st.one_of(odd_texts, odd_values, odd_moments, amounts)


@st.composite
def rows(draw: st.DrawFn) -> list[list[Any]]:
    """A few usual rows, some cells of which are not."""
    found = [list(USUAL) for _ in range(draw(st.integers(1, 4)))]
    for row in found:
        row[2] = draw(st.sampled_from(["10", 10, "-4"]))
        if draw(st.booleans()):
            row[draw(st.integers(0, 7))] = draw(cells)
    return found


def slow(made: Rows, given: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(made.row(n, values))[:10] for n, values in enumerate(given, 2)]


def quick(columns: Columns, given: list[list[Any]]) -> list[tuple[Any, ...]] | None:
    found = columns.of(range(2, 2 + len(given)), given)
    return None if found is None else list(zip(*found, strict=True))


@given(
    rows=rows(),
    texts=st.booleans(),
    lines=st.booleans(),
    zone=st.sampled_from([timezone.utc, ZoneInfo("Europe/Berlin")]),
)
def test_both_ways_agree(rows: list[list[Any]], texts: bool, lines: bool, zone: Any) -> None:
    plan = Plan(now=NOW, source="old", ids_from_lines=lines, zone=zone)
    made = Rows(plan, NAMES, texts=texts, json_texts=texts)
    found = quick(Columns(made, NAMES), rows)
    if found is not None:
        assert repr(found) == repr(slow(made, rows))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, 5), (0, "a-b"), (1, 5), (1, str(UUID(int=7))), (5, None), (6, None), (7, '{"a": 1}')),
        *((2, str(MAX_AMOUNT)), (4, "2026-11-20T09:00:00Z"), (4, "2026-11-20 09:00:00.123456")),
    ],
)
def test_what_is_usual_goes_the_quick_way(place: int, value: Any) -> None:
    row = list(USUAL)
    row[place] = value
    made = Rows(Plan(now=NOW, source="old"), NAMES, texts=True, json_texts=True)
    found = quick(Columns(made, NAMES), [row, row])
    assert found == slow(made, [row, row])


def test_moments_in_utc_are_copied_as_they_are() -> None:
    made = Rows(Plan(now=NOW, source="old"), NAMES, texts=True, json_texts=True)
    columns = Columns(made, NAMES, copied=True)
    for text, copied in {
        "2026-11-20T09:00:00Z": "2026-11-20T09:00:00+00:00",
        "2026-11-20 09:00:00+01:00": datetime(2026, 11, 20, 8, tzinfo=timezone.utc),
        "2026-11-20 09:00:00": datetime(2026, 11, 20, 9, tzinfo=timezone.utc),
    }.items():
        found = columns.of([2], [[*USUAL[:4], text, *USUAL[5:]]])
        assert found is not None
        assert list(found[7]) == [copied]


@pytest.mark.parametrize(
    ("value", "extra", "taken"),
    [("refuse", "hot", False), ("ignore", "hot", True), ("details", "hot", False)],
)
def test_other_columns_are_left_to_the_slow_way_unless_ignored(
    value: str, extra: str, taken: bool
) -> None:
    names = [*NAMES, "weather"]
    made = Rows(Plan(now=NOW, source="old", extra=value), names, texts=True, json_texts=True)
    found = quick(Columns(made, names), [[*USUAL, extra]])
    assert (found is not None) is taken


@given(st.lists(st.lists(st.one_of(st.none(), st.text("019", max_size=3)), min_size=1)))
def test_keys_that_rise_are_all_different(chunks: list[list[str | None]]) -> None:
    keys = Keys()
    for chunk in chunks:
        keys.see(chunk)
    seen = [key for chunk in chunks for key in chunk]
    if keys.rising:
        assert None not in seen
        assert len(set(seen)) == len(seen)


def test_numbers_that_rise_are_seen_to() -> None:
    keys = Keys()
    for first in (8, 98):
        keys.see([f"import:old:{first + n}" for n in range(20)])
    assert keys.rising
    keys.see(["import:old:8"])
    assert not keys.rising


def test_the_slow_way_alone_says_what_is_wrong() -> None:
    made = Rows(Plan(now=NOW, source="old"), NAMES, texts=True, json_texts=True)
    late = [*USUAL[:4], (NOW + timedelta(minutes=6)).isoformat(), *USUAL[5:]]
    assert Columns(made, NAMES).of([2], [late]) is None
    with pytest.raises(InvalidInput, match="future"):
        made.row(2, late)


def test_rows_are_as_wide_as_the_columns_that_are_filled() -> None:
    made = Rows(Plan(now=NOW, source="old"), NAMES, texts=True, json_texts=True)
    found = Columns(made, NAMES).of([2], [USUAL])
    assert found is not None
    assert Row(*(column[0] for column in found)) == made.row(2, USUAL)
