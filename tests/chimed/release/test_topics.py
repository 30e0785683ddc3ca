"""Diversity in a release: its column, the file of its clusters, its card."""

import pytest

from chimed.release import SUBSETS, read_manifest
from chimed.release.rows import KINDS
from chimed.storage import lake as lakes
from support.making_one import FIRST, pylist


@pytest.mark.slow
def test_rows_have_clusters_that_a_file_names(lake):
    rows = {subset: pylist(lake, FIRST, subset) for subset in SUBSETS}
    told = lakes.read_json(lake, f"releases/{FIRST}/clusters.json")["clusters"]
    assert {one["cluster"] for one in told} >= {row["cluster"] for several in rows.values() for row in several}
    for subset, several in rows.items():  # `decontaminate` took none of this release
        assert sum(one["rows"].get(KINDS[subset], 0) for one in told) == len(several)
    assert any(one["words"] for one in told)


@pytest.mark.slow
def test_the_card_tells_what_nobody_asks(lake):
    made = read_manifest(lake, FIRST)["diversity"]
    card = lakes.read_bytes(lake, f"releases/{FIRST}/README.md").decode()
    assert f"topics are {len(made['clusters'])} clusters" in card
    assert f"Of {made['paraphrases']['sample']} questions, compared with all" in card
    first = made["unasked"][0]
    assert f"most often {first['name']} ({first['documents']})" in card
    asked = "\n".join(row["messages"][0]["content"] for row in pylist(lake, FIRST, "sft"))
    assert not [one["name"] for one in made["unasked"] if one["name"] in asked and one["group"] == "formulas"]
