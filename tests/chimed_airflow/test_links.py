"""Every command of the DAGs has its page."""

import pytest

from chimed_airflow.links import place_of


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (["crawl", "ask39", "--crawl=2026-11-16", ""], "sources#ask39"),
        (["extract", "zydcd", "--crawl=2026-11-16"], "sources#zydcd"),
        (["run", "dedup", "--build", "2026.11.22"], "builds/2026.11.22"),
        (["run", "screen", "--build", "2026.11.22", "--shard", "3"], "review?build=2026.11.22&stage=screen"),
        (["run", "release", "--build", "2026.11.22"], "releases/2026.11.22"),
        (["ledger", "2026.11.22"], "builds/2026.11.22"),
        (["train", "cpt", "--recipe=demo", "--release=2026.11.22"], "scores?release=2026.11.22&recipe=demo"),
        (["build", "--options={}"], ""),
    ],
)
def test_a_commands_page(command, place):
    assert place_of(command) == place
