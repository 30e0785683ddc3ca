"""Near-paraphrases, names of medicine and features by themselves: what a row is does not depend on its neighbours."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from chimed.diversity import asking, capping, clusters, features, labels, medicine, naming, paraphrases
from support.samples import document, qa, rows

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "paraphrases.jsonl").open(encoding="utf-8")]


def questions() -> pl.DataFrame:
    """Both questions of each case, each on a page of its own; the ids tell which."""
    pairs = [(f"{n:03}{side}", case[side]) for n, case in enumerate(CASES) for side in ("one", "two")]
    return rows(*(qa(text, "答", id=id, url=f"http://q/{id}") for id, text in pairs))


def found(table: pl.DataFrame) -> set[int]:
    """The numbers of the cases whose first question has the second as a near-paraphrase."""
    every = []
    for n in range(len(CASES)):
        probes = paraphrases.learn(table)
        two = table.filter(pl.col("id") == f"{n:03}two")
        pairs = paraphrases.compare(probes, two)
        every += [n for row in pairs.to_dicts() if probes.ids[row["probe"]] == f"{n:03}one"]
    return set(every)


def test_variants_are_no_paraphrases_and_rewordings_are():
    near = found(questions())
    by_verdict = {
        verdict: [n for n, case in enumerate(CASES) if case["verdict"] == verdict]
        for verdict in ("near", "variant", "other")
    }
    assert not [CASES[n] for n in near & {*by_verdict["variant"], *by_verdict["other"]}]
    missed = [CASES[n]["one"] for n in by_verdict["near"] if n not in near]
    assert len(missed) <= 3, missed


@pytest.mark.parametrize(
    ("one", "two", "asks_same", "about_same"),
    [
        ("糖尿病人挂什么科？", "糖尿病患者看哪个科", True, True),
        ("颈椎病怎么治疗", "颈椎病挂什么科", False, True),
        ("感冒吃什么药", "感冒吃什么", False, True),
        ("我家小孩发烧怎么办呀", "请问宝宝发热如何处理？", True, True),
        ("性功能障碍怎么办", "性功能障碍能治好吗", False, True),
        ("糖尿病能吃什么蔬菜", "糖尿病能吃什么水果", True, False),
        ("\U000f0000\U000f0009感冒", "感冒", True, True),
    ],
)
def test_what_is_asked_is_told_apart(one, two, asks_same, about_same):
    reduced = asking.reduce_questions(pl.Series([one, two]))
    assert (reduced["asks"].n_unique() == 1) == asks_same
    assert (reduced["about"].n_unique() == 1) == about_same


def test_the_same_page_is_no_other_question():
    table = rows(*(qa("高血压能吃党参吗？", f"答{n}", id=f"{n}", url="http://q/1") for n in range(2)))
    assert len(paraphrases.compare(paraphrases.learn(table), table)) == 0


def test_a_row_has_its_features_in_any_company():
    texts = questions()["question"]
    model, own = clusters.learn(texts)
    alone = pl.concat([clusters.assign(model, texts.slice(n, 1)) for n in range(len(texts))])
    assert alone.equals(clusters.assign(model, texts))
    assert alone.fill_null(-1).to_list() == own.tolist()
    keys = paraphrases.signatures(questions())
    one_by_one = [paraphrases.signatures(questions().slice(n, 1))[0] for n in range(len(texts))]
    assert np.array_equal(keys, np.array(one_by_one))


def test_signatures_find_what_is_reworded():
    said = [
        "孩子咳嗽有痰，晚上睡不着怎么办",
        "孩子咳嗽有痰，晚上睡不着怎么办呢",
        "老人便秘怎么办",
        "孩子咳嗽有痰2天，晚上睡不着怎么办",
    ]
    keys = paraphrases.signatures(rows(*(qa(text, "答") for text in said)))
    assert paraphrases.repeats(keys).tolist() == [False, True, False, False]
    assert paraphrases.repeats(np.zeros((3, paraphrases.BANDS), np.uint64)).tolist() == [False] * 3


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("四君子汤由人参、白术组成", ["四君子汤", "人参", "白术"]),
        ("炙甘草汤", ["炙甘草汤"]),
        ("今天天气很好", []),
        ("", []),
        (None, []),
    ],
)
def test_names_of_medicine_are_found_longest_first(text, names):
    (numbers,) = medicine.find_numbers(pl.Series([text], dtype=pl.String)).to_list()
    assert {medicine.listed()[n].name for n in numbers} == set(names)


def test_synonyms_count_as_one_name():
    one, two = medicine.find_numbers(pl.Series(["金银花", "忍冬花"])).to_list()
    assert len(one) == 1
    assert two in ([], one)
    places = [one.name for one in medicine.listed()]
    assert len(places) == len(set(places))


def test_words_tell_a_cluster_from_others():
    texts = pl.Series([f"老人{n}，便秘，肚子胀" for n in "甲乙丙丁"] + [f"孩子{n}，咳嗽，有黄痰" for n in "甲乙丙丁"])
    names = naming.name_clusters(texts, np.array([0] * 4 + [1] * 4))
    assert {"便秘", "老人"} <= set(names[0])
    assert {"咳嗽", "孩子"} <= set(names[1])
    assert naming.name_clusters(pl.Series(["吃", "喝"]), np.array([0, 1])) == [[], []]
    assert naming.name_clusters(pl.Series([], dtype=pl.String), np.array([], int)) == []


def test_words_of_a_name_are_whole_words():
    """Neither a piece between two words nor one that always stands behind the same few, nor half of a long formula."""
    ill = [("气", "天"), ("表", "晚"), ("气", "周")]
    texts = [f"{who}，{one}虚自汗，易感冒，前一{time}又犯，加重" for who in "甲乙丙" for one, time in ill]
    texts += [f"{who}问：血府逐瘀汤的组方道理；胸痛{day}" for who in "甲乙丙丁" for day in ("数日", "多年")]
    first, second = naming.name_clusters(pl.Series(texts), np.array([0] * 9 + [1] * 8))
    assert not {"虚自汗", "前一", "汤的组", "府逐", "瘀汤", "方道"} & {*first, *second}
    assert {"血府逐瘀汤", "组方道理"} <= {*second}
    assert {"气虚自汗", "加重"} <= {*first}


def test_effective_clusters_are_counted():
    table = pl.DataFrame(
        {"id": list("abcdef"), "kind": ["qa"] * 6, "cluster": [0, 0, 1, 1, None, None], "quality": [None] * 6},
        schema=capping.COLUMNS,
    )
    told = capping.spread(table)["qa"]
    assert told == {"rows": 6, "unplaced": 2, "clusters": 2, "largest": 0.5, "effective": 2.0}


def test_pairs_of_letters_do_not_cross_texts():
    counts = features.count_pairs(pl.Series(["ab", "", "cd", "a", "b", "A b", "AB"]))
    assert np.diff(counts.indptr).tolist() == [1, 0, 1, 0, 0, 0, 1]
    assert (counts[0] != counts[6]).nnz == 0
    assert features.count_pairs(pl.Series([], dtype=pl.String)).shape == (0, 1 << features.BITS)


LABELLED = {
    "【功效】止咳": "止咳",
    "功效：止咳": "止咳",
    "性平。功效：止咳": "性平 止咳",
    "〔功效〕止咳": "止咳",
    "功效\n止咳": "止咳",
    "它的功效很好": "它的功效很好",
    "人参：补气": "人参：补气",
    "【甘草】补气": "【甘草】补气",
    "黄芪15克，白术10~15g": "黄芪 ，白术",
    "半夏三钱，生姜二两半，枳实五枚": "半夏 ，生姜 ，枳实",
    "百合三七五味子": "百合三七五味子",
    "体温38.5℃，3岁": "体温 ，",
    "": "",
}


@pytest.mark.parametrize("text", LABELLED)
def test_labels_and_doses_are_blanked(text):
    (left,) = labels.blank(pl.Series([text]), ["功效"])
    assert " ".join(left.split()) == LABELLED[text]


def test_names_of_medicine_stay_whole():
    names = pl.Series(sorted(medicine.numbers_of_names()))
    assert labels.blank(names, []).equals(names)


def test_labels_stand_in_many_rows():
    many = [document(f"【功效】第{n}种\n人参：补气。用法：煎服", url=f"http://l/{n}") for n in range(200)]
    few = [document("【乾坤】一", url="http://l/a"), document("【(.*)+】一", url="http://l/b")]
    asks = [qa(f"病情：头痛{n}", "答", url=f"http://l/q{n}") for n in range(10)]
    assert labels.learn_labels(rows(*many, *few, *asks)) == ["功效", "用法", "病情"]
    assert labels.learn_labels(rows()) == []
