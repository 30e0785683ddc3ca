"""diversify: clusters, the cap's exact rows, near-paraphrases, what nobody asks, and rows that say nothing."""

import dataclasses

import polars as pl
import pytest

from chimed.build import order
from chimed.build.ledger import check_ledger
from chimed.diversity import capping, clusters
from chimed.errors import UserError
from chimed.pipeline import steps
from chimed.pipeline.diversity import print_diversity, read_diversity
from chimed.schema import RECORD
from chimed.stages import diversify
from chimed.storage import lake as lakes
from support.samples import document, judged, prepared, qa, rows

TOPICS = {
    "头痛": "最近总是头痛，太阳穴一跳一跳地疼，睡不好的时候更厉害，需要做什么检查",
    "咳嗽": "孩子咳嗽有痰，晚上咳得睡不着，喉咙里呼噜呼噜响，要不要拍胸片",
    "便秘": "老人便秘，肚子胀，好几天没有大便，吃香蕉喝蜂蜜都没有用",
    "湿疹": "手上长湿疹，又红又痒，抹了药膏就好一点，停药又起小水泡",
}
WHO = ["我妈妈", "我爸爸", "邻居", "同事", "我姐姐", "我弟弟", "表哥", "表妹", "舅舅", "姑姑", "外公", "外婆", "室友"]


def questions(topic: str, count: int, **changes: object) -> list[dict]:
    """Questions about one topic, no two in the same words."""
    return [
        qa(
            f"{WHO[n % len(WHO)]}{TOPICS[topic]}，已经{n + 2}天，怎么办",
            f"请到医院就诊，注意休息。{topic}{n}",
            **changes,
        )
        for n in range(count)
    ]


def corpus(headache: int = 60, others: int = 20) -> pl.DataFrame:
    """Mostly headache, some of the others, and herbs."""
    herbs = [
        document(
            f"{name}，味甘，性平，归脾、肺经，主治气虚。炮制时取原药材洗净切片晒干。第{n}种。",
            title=name,
            url=f"http://h/{n}",
        )
        for n, name in enumerate(["党参", "黄芪", "白术", "山药", "甘草"] * 4)
    ]
    asks = [one for topic in list(TOPICS)[1:] for one in questions(topic, others)]
    return rows(*questions("头痛", headache), *asks, *herbs)


@pytest.fixture
def around(work):
    return dataclasses.replace(work, build="2026.11.22")


def capped(work, share: float):
    return dataclasses.replace(work, options=work.options.model_copy(update={"cluster_cap": share}))


def test_rows_of_a_topic_share_a_cluster(around):
    table = corpus()
    outcome = judged(diversify, table, around, parts=3)
    check_ledger("diversify", table, outcome)
    assert len(outcome.dropped) == 0
    kept = outcome.kept
    assert kept["cluster"].null_count() == 0
    for topic in TOPICS:
        of_topic = kept.filter(pl.col("question").str.contains(topic))["cluster"].unique()
        others = kept.filter(~pl.col("question").fill_null("").str.contains(topic))["cluster"].unique()
        assert not set(of_topic) & set(others), topic
    told = outcome.figures
    assert sum(sum(one["rows"].values()) for one in told["clusters"]) == len(table)
    for topic, sentence in TOPICS.items():
        own = set(kept.filter(pl.col("question").str.contains(topic))["cluster"])
        assert any(word in sentence for n in own for word in told["clusters"][n]["words"]), topic
    spread = told["spread"]["qa"]
    assert spread["rows"] == 120
    assert 1 < spread["effective"] <= spread["clusters"]


@pytest.mark.slow
def test_parts_and_order_change_no_verdict(around):
    table = corpus()
    strict = capped(around, 0.2)
    found = {}
    for parts in (1, 4, 16):
        shuffled = table.sample(fraction=1, shuffle=True, seed=parts)
        outcome = judged(diversify, shuffled, strict, parts=parts)
        figures = {name: value for name, value in outcome.figures.items() if name not in ("placed", "taken")}
        found[parts] = (
            outcome.kept.select("id", "cluster").sort("id").rows(),
            sorted(outcome.dropped["id"]),
            figures,
        )
    assert found[1] == found[4] == found[16]
    assert found[1][1]


@pytest.mark.slow
def test_a_killed_step_leaves_the_same_bytes(around, monkeypatch):
    table, stage = corpus(), order.stage("diversify")

    def bytes_of() -> dict[str, bytes]:
        folder = f"steps/{around.build}/diversify"
        names = [name for name in lakes.files(around.lake, folder) if "report-" not in name]
        return {name: lakes.read_bytes(around.lake, f"{folder}/{name}") for name in names}

    prepared("diversify", table, around, parts=3)
    steps.take(around, stage)
    whole = bytes_of()
    for stops_at in (1, 4, 7):  # learning, assigning, and before the last report
        prepared("diversify", table, around, parts=3)
        written, real = 0, lakes.write_bytes

        def dies(lake, path, data, stops_at=stops_at, real=real):
            nonlocal written
            written += "steps/" in path
            if written == stops_at:
                raise KeyboardInterrupt
            real(lake, path, data)

        with monkeypatch.context() as patched:
            patched.setattr(lakes, "write_bytes", dies)
            with pytest.raises(KeyboardInterrupt):
                steps.take(around, stage)
        steps.take(around, stage)
        assert bytes_of() == whole


def table_clusters(outcome) -> int:
    """In how many clusters the rows of an outcome were before the cap."""
    return pl.concat([outcome.kept["cluster"], outcome.dropped["cluster"]]).n_unique()


def test_the_cap_takes_the_lowest_rated_first(around):
    asks = [one | {"quality": 1.0 + n % 30 / 10} for n, one in enumerate(questions("头痛", 60))]
    table = rows(*asks, *(one | {"quality": 3.0} for topic in list(TOPICS)[1:] for one in questions(topic, 20)))
    outcome = judged(diversify, table, capped(around, 0.1), parts=4)
    check_ledger("diversify", table, outcome)
    assert set(outcome.dropped["reason"]) == {diversify.TOO_MANY}
    sizes = outcome.kept.group_by("cluster").len()["len"]
    told = outcome.figures["limits"]["qa"]
    assert told["clusters"] == table_clusters(outcome)
    assert sizes.max() <= told["most"] == max(12, -(-120 // told["clusters"]))  # a tenth, or an equal share
    assert told["too_low"] == (told["clusters"] < 10)
    gone = outcome.dropped.group_by("cluster").agg(worst_kept=pl.col("quality").max())
    kept = outcome.kept.group_by("cluster").agg(lowest=pl.col("quality").min())
    both = gone.join(kept, on="cluster")
    assert len(both) == len(gone)
    assert (both["worst_kept"] <= both["lowest"]).all()
    told = outcome.figures
    assert told["would_take"]["0.1"]["qa"] == len(outcome.dropped)
    assert sum(one["taken"] for one in told["clusters"]) == len(outcome.dropped)


def test_without_ratings_paraphrases_leave_first():
    table = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e", "f"],
            "kind": ["qa"] * 6,
            "cluster": [0, 0, 0, 0, None, 1],
            "quality": [None] * 6,
            "repeats": [False, True, False, False, True, False],
        },
        schema={**capping.COLUMNS, "repeats": pl.Boolean},
    )
    assert capping.choose(table, 0.5)["id"].to_list() == ["b"]  # three of six may stay; e is in no cluster
    assert capping.choose(table, None)["id"].to_list() == []


@pytest.mark.parametrize(
    ("sizes", "share", "most", "too_low", "taken"),
    [
        ([50, 50, 50, 50], 0.1, 50, True, 0),  # as even as can be: nothing is to be taken
        ([80, 40, 40, 40], 0.1, 50, True, 30),
        ([80, 40, 40, 40], 0.25, 50, False, 30),
        ([80, 40, 40, 40], 0.3, 60, False, 20),
        ([10], 0.5, 10, True, 0),
        ([9, 1], 0.001, 5, True, 4),
        ([], 0.5, 1, False, 0),
    ],
)
def test_a_cap_never_goes_below_equal_shares(sizes, share, most, too_low, taken):
    own = [number for number, size in enumerate(sizes) for _ in range(size)] or [None]
    table = pl.DataFrame(
        {"id": [f"{n:03}" for n in range(len(own))], "kind": ["qa"] * len(own), "cluster": own},
        schema={name: capping.COLUMNS[name] for name in ("id", "kind", "cluster")},
    ).with_columns(quality=pl.lit(None, pl.Float64), repeats=pl.lit(False))
    told = capping.limits(table, share)["qa"]
    assert (told["most"], told["too_low"]) == (most, too_low)
    assert len(capping.choose(table, share)) == taken


def test_a_cap_that_is_too_low_is_told(around, capsys):
    judged(diversify, corpus(), capped(around, 0.001), parts=2)
    path = f"builds/{around.build}/build.json"
    made = lakes.read_json(around.lake, path)
    lakes.write_json(around.lake, path, made | {"options": made["options"] | {"cluster_cap": 0.001}})
    told = read_diversity(around.lake, around.build)
    assert set(told["too_low"]) == {"document", "qa"}
    print_diversity(told)
    assert "warning: a cap of 0.1% is below an equal share of qa" in capsys.readouterr().out


def test_topics_are_what_pages_are_about(around):
    """Pages of two sites: one field order each, and the same four herbs on both."""
    about = {
        "便秘": "润肠通便，治大便秘结，腹中胀满，数日不解",
        "咳嗽": "宣肺止咳，治咳嗽痰多，气喘，喉中痰鸣",
        "湿疹": "祛风止痒，治皮肤湿疹，瘙痒流水，疮疡",
        "失眠": "养心安神，治心悸失眠，多梦健忘，烦躁",
    }
    fields = (
        "【药名】{n}【别名】{n}【功效与作用】{say}【用法用量】煎服，{n}克",
        "产地分布：{n}\n采收加工：{n}\n临床应用：{say}\n注意事项：{n}\n用法：三钱",
    )
    pages = [
        document(fields[n % 2].format(n=n, say=f"{say}，{WHO[n % 13]}"), title=topic, url=f"http://p/{topic}{n}")
        for topic, say in about.items()
        for n in range(40)
    ]
    outcome = judged(diversify, rows(*pages), around, parts=2)
    of_topics = [set(some["cluster"]) for some in outcome.kept.partition_by("title")]
    assert sum(len(one) for one in of_topics) == len(set().union(*of_topics))
    words = {word for one in outcome.figures["clusters"] for word in one["words"]}
    assert not [
        word for word in words if word in "药名 别名 功效与作用 用法用量 产地分布 采收加工 临床应用 注意事项 三钱"
    ]


def test_what_nobody_asks_is_told_most_frequent_first(around):
    table = rows(
        *questions("头痛", 60),
        *questions("咳嗽", 50),
        *(document(f"四物汤由当归、川芎组成。{n}" * 3, title="方", url=f"http://f/{n}") for n in range(3)),
        document("人参大补元气。" * 5, title="人参", url="http://f/9"),
        qa("当归怎么吃", "当归煎服，配黄芪。"),
    )
    told = judged(diversify, table, around, parts=2).figures
    assert [one["name"] for one in told["unasked"]][:2] == ["川芎", "四物汤"]  # herbs stand before formulas
    assert "当归" not in [one["name"] for one in told["unasked"]]
    herbs = told["coverage"]["herbs"]
    assert (herbs["questions"], herbs["documents"]) == (1, 3)
    assert herbs["listed"] > 300
    assert len(told["departments"]) == 20


def test_too_few_rows_learn_nothing(around):
    table = rows(*questions("头痛", clusters.FEWEST - 1))
    outcome = judged(diversify, table, capped(around, 0.01), parts=2)
    assert len(outcome.kept) == len(table)
    assert outcome.kept["cluster"].null_count() == len(table)
    assert outcome.figures["clusters"] == []
    assert outcome.figures["paraphrases"] is None
    assert outcome.figures["sample"] == len(table)


HOSTILE = {
    "empty": [qa("", "", title=None, url=f"http://e/{n}") for n in range(120)],
    "one letter": [qa("吃", "吃", title=None, url=f"http://e/{n}") for n in range(120)],
    "all the same": [qa("感冒了怎么办", "多喝水", url=f"http://e/{n}") for n in range(120)],
    "digits": [qa(f"{n * 7919}", f"{n}" * 50, title=None) for n in range(120)],
    "signs": [qa("？！……" * n, "。", title=None) for n in range(1, 121)],
    "foreign": [qa(f"\U0001f600\u200b\ufeff ﷽ İ {'ß' * n}", "\x00\x07") for n in range(120)],
    "one huge": [*questions("头痛", 110), document("党参" * 2_000_000, url="http://e/huge")],
    "one row": questions("头痛", 1),
    "none": [],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_rows_are_placed_or_left_alone(around, name):
    table = rows(*HOSTILE[name])
    outcome = judged(diversify, table, capped(around, 0.5), parts=2)
    check_ledger("diversify", table, outcome)
    if name in ("empty", "one letter", "one row", "none", "signs"):
        assert len(outcome.kept) == len(table)
    if name == "all the same":  # one cluster cannot have less than all
        assert (outcome.kept["cluster"] == 0).all()
        assert len(outcome.kept) == len(table)
        assert outcome.figures["limits"]["qa"]["too_low"]


def test_a_table_without_the_column_is_read(around):
    young = judged(diversify, corpus(), around).kept
    path = f"builds/{around.build}/old.parquet"
    lakes.write_table(around.lake, path, young, RECORD.remove(RECORD.get_field_index("cluster")))
    read = lakes.read_table(around.lake, path, schema=RECORD)
    assert read.columns == RECORD.names
    assert read["cluster"].null_count() == len(read)


def test_a_build_without_the_stage_says_so(around):
    judged(diversify, rows(*questions("头痛", 120)), around, parts=2)
    told = read_diversity(around.lake, around.build)
    assert told["rows"] == 120
    assert told["clusters"][0]["examples"]
    made = lakes.read_json(around.lake, f"builds/{around.build}/build.json")
    made["stages"] = [one for one in made["stages"] if one[0] != "diversify"]
    lakes.write_json(around.lake, f"builds/{around.build}/build.json", made)
    with pytest.raises(UserError, match="before there was diversify"):
        read_diversity(around.lake, around.build)
