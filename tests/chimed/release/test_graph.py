"""The graph beside a release's text: who states what, where, and where entries contradict each other."""

import polars as pl

from chimed.release.graph import build_graph

HERB = "【中药名】川贝母\n【别名】青贝\n【性味归经】味甘，性微寒。归肺经。\n【使用禁忌】不宜与草乌同用。"
OTHER = "【性味归经】味甘，性凉。归肺、心经。"
FORMULA = "【组成】川贝母9克，杏仁6克。\n【功效】润肺止咳。"


def _rows(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    columns = ("title", "text", "made_by")
    ids = [f"row{n}" for n in range(len(rows))]
    made = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    return made.with_columns(id=pl.Series(ids), source=pl.lit("zydcd"))


def test_relations_name_the_rows_that_state_them() -> None:
    rows = _rows(("川贝母", HERB, None), ("贝杏汤", FORMULA, None))
    graph = build_graph([rows.head(1), rows.tail(1)])
    formula = graph.relations.filter(pl.col("relation") == "contains")
    assert formula.select("subject", "object", "value", "row").rows() == [
        ("formula:贝杏汤", "herb:川贝母", "9克", "row1"),
        ("formula:贝杏汤", "herb:杏仁", "6克", "row1"),
    ]
    texts = dict(rows.select("id", "text").iter_rows())
    for one in graph.relations.to_dicts():
        assert (one["value"] or one["object"].split(":")[1])[:1] in texts[one["row"]][one["start"] : one["end"]]
    herb = graph.entities.filter(pl.col("id") == "herb:川贝母").row(0, named=True)
    assert (herb["other_names"], herb["rows"]) == (["青贝"], ["row0"])
    assert graph.entities.filter(pl.col("id") == "herb:杏仁")["rows"].to_list() == [[]]


def test_contradicting_entries_are_marked_as_disputed() -> None:
    graph = build_graph([_rows(("川贝母", HERB, None), ("川贝母", OTHER, None), ("丹参", OTHER, None))])
    disputed = graph.relations.filter("disputed")
    assert disputed.select("subject", "object", "row").rows() == [
        ("herb:川贝母", "nature:微寒", "row0"),
        ("herb:川贝母", "nature:凉", "row1"),
    ]
    assert graph.numbers()["disputed"] == 2


def test_what_a_model_wrote_states_nothing() -> None:
    graph = build_graph([_rows(("川贝母", HERB, "translate@1"), ("散文", "没有字段。", None))])
    assert graph.files() == {}


def test_the_graph_does_not_depend_on_batches() -> None:
    rows = _rows(("川贝母", HERB, None), ("川贝母", OTHER, None), ("贝杏汤", FORMULA, None))
    assert build_graph([rows]).files() == build_graph([rows.slice(n, 1) for n in (0, 1, 2)]).files()


def test_one_herb_is_one_entity_with_its_preparations():
    formula = "【方名】某汤\n【组成】芎䓖三钱，炙甘草二钱，芍药三钱\n【主治】头痛，眩晕。"
    herb = "【药名】川芎\n【别名】香果\n【性味】辛，温\n【归经】归肝、胆经"
    graph = build_graph([_rows(("某汤", formula, None), ("川芎", herb, None))])
    stated = graph.relations.filter(relation="contains").select("object", "value", "condition").rows()
    assert stated == [("herb:川芎", "三钱", None), ("herb:甘草", "二钱", "炙"), ("herb:芍药", "三钱", None)]
    (herb,) = graph.entities.filter(id="herb:川芎").to_dicts()
    assert (herb["other_names"], len(herb["rows"])) == (["芎䓖", "香果"], 1)
    assert "herb:芎䓖" not in graph.entities["id"]
    assert graph.relations.filter(relation="treats")["object"].to_list() == ["ailment:头痛", "ailment:眩晕"]
