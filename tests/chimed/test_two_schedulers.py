"""Two schedulers may start the run of a week twice: the second run gets the first one's build, unless there is more."""

import pytest

from chimed.build import builds, inputs


@pytest.fixture
def crawls(monkeypatch) -> list[list[str]]:
    """What the lake has, as shards of crawls."""
    found = [["ask39/2026-11-16"], ["zydcd/2026-11-16"]]
    monkeypatch.setattr(inputs, "divide_into_shards", lambda *_: [list(shard) for shard in found])
    return found


def test_a_weeks_second_run_reuses_the_build(work, crawls) -> None:
    first = builds.new_build(work.lake, {}, run="asset_triggered__1", partition="2026-11-16")
    second = builds.new_build(work.lake, {}, run="asset_triggered__2", partition="2026-11-16")
    assert first == second
    assert builds.list_builds(work.lake) == [first]


def test_what_changed_makes_another_build(work, crawls) -> None:
    week = {"partition": "2026-11-16"}
    made = [builds.new_build(work.lake, {}, run="1", **week)]
    made.append(builds.new_build(work.lake, {"max_records": 9}, run="2", **week))
    crawls.append(["cnkang/2026-11-16"])
    made.append(builds.new_build(work.lake, {}, run="3", **week))
    made.append(builds.new_build(work.lake, {}, run="4", partition="2026-11-23"))
    made += [builds.new_build(work.lake, {}, run=run) for run in ("5", "6")]  # by hand: each its own
    assert len(set(made)) == len(made)
