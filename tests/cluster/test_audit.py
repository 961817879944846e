"""The audit finds what it is there to find."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import make_url

from .audit import doubled, faults, lost, rows
from .load import Answer, Host, daily
from .nodes import Cluster

pytestmark = [pytest.mark.servers, pytest.mark.cluster]

ROW = (1, "ann", 10, 10, "daily", "7")
SPEND = (2, "ann", -5, 5, "spend", "7")


def test_an_acknowledged_entry_must_be_there_as_it_was_told() -> None:
    told = Answer("daily", "ann", "awarded", ROW)
    assert list(lost({ROW}, [told])) == []
    assert len(list(lost(set(), [told]))) == 1
    assert len(list(lost({(*ROW[:2], 9, *ROW[3:])}, [told]))) == 1


def test_a_window_may_not_have_paid_too_often() -> None:
    again = (3, *ROW[1:])
    assert list(doubled({ROW}, [])) == []
    assert list(doubled({ROW, again}, [])) == ["doubled: 2 times daily for ann in turn 7"]


@pytest.mark.parametrize(
    ("said", "number", "is_fault"),
    [
        (["spent"], 1, False),
        (["spent"], 0, True),
        (["spent"], 2, True),
        (["unknown"], 0, False),
        (["unknown"], 1, False),
        (["unknown", "refused", "given up"], 2, True),
    ],
)
def test_a_spend_without_a_key_stands_there_as_often_as_it_was_made(
    said: list[str], number: int, is_fault: bool
) -> None:
    log = {(each, *SPEND[1:]) for each in range(number)}
    answers = [Answer("spend", "ann", each) for each in said]
    assert bool(list(doubled(log, answers))) is is_fault


def test_a_row_that_one_node_lacks_is_found(urls: list[str], cluster: Cluster) -> None:
    with closing(Host(urls[0])) as host:
        answers = [host.settle(daily, user, "7") for user in ("ann", "bob")]
    assert len(rows(urls[1])) == 2
    assert faults(urls, answers) == []
    database = make_url(urls[1]).database
    delete = f"DELETE FROM {database}.coin_log WHERE user_id = 'ann'"
    cluster.nodes[1].ask("SET SESSION wsrep_on = OFF", delete)
    found = faults(urls, answers)
    assert [each.partition(":")[0] for each in found[:-1]] == ["node 1"] * (len(found) - 1)
    assert any(": lost:" in each for each in found)
    assert found[-1].startswith("the nodes differ")
