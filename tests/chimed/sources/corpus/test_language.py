"""Classical, modern and no Chinese, by a text's own words and by what is around it. All texts are made up."""

import pytest

from chimed.extraction.corpus_files.language import weigh_text, weigh_texts
from chimed.sources.page import Miss
from support.reading_of import look, read

CLASSICAL = (
    "夫脉者，血之府也。长则气治，短则气病，数则烦心，大则病进。医者不可不知其所以然，故曰：善治者治皮毛，其次治肌肤。"
)
MODERN = (
    "高血压是一种常见的慢性病，患者需要长期服用药物，并且定期到医院检查。如果血压控制得不好，可能会引起心脏的问题。"
)
LIST = "甘草、白术、茯苓、人参、当归、川芎、白芍、熟地黄。"
ENGLISH = "Hypertension is a chronic condition that needs treatment for years."


def book(*chapters: str) -> str:
    return "\n".join(f"第{n}章 题目\n{text}" for n, text in zip("一二三四五六", chapters, strict=False))


def languages(found: list) -> list[str]:
    return [one.reason if isinstance(one, Miss) else one.language for one in found]


def test_books_have_the_language_of_their_text():
    assert languages(read("书.txt", book(MODERN, MODERN))) == ["zh", "zh"]
    assert languages(read("书.txt", book(CLASSICAL, CLASSICAL))) == ["lzh", "lzh"]
    assert languages(read("书.md", f"# 一\n{CLASSICAL}\n# 二\n{MODERN}")) == ["lzh", "zh"]


def test_a_herb_list_has_its_books_language():
    assert languages(read("书.txt", book(CLASSICAL, LIST, CLASSICAL))) == ["lzh"] * 3
    assert languages(read("书.txt", book(MODERN, LIST, MODERN))) == ["zh"] * 3


def test_a_modern_preface_in_a_classic_is_modern():
    assert languages(read("书.txt", book(MODERN * 3, CLASSICAL * 9))) == ["zh", "lzh"]


def test_foreign_text_is_a_miss_by_default():
    rows = (
        f'{{"text": "{ENGLISH}"}}\n{{"text": "これは漢方薬についての説明です。よく効きます。"}}\n{{"text": "{MODERN}"}}'
    )
    assert languages(read("a.jsonl", rows)) == ["not Chinese", "not Chinese", "zh"]
    assert languages(read("a.jsonl", rows, language="zh")) == ["zh"] * 3


@pytest.mark.parametrize(
    "text",
    [
        "阿司匹林（Acetylsalicylic acid, Aspirin Enteric-coated Tablets）每日一次，每次100mg，饭后服用。",
        "患者：女，WBC 11.2×10^9/L，CRP 35 mg/L。",
        "高血壓是常見的慢性病，患者需要長期服藥，並定期到醫院檢查。",
    ],
)
def test_drug_names_do_not_change_the_language(text):
    assert languages(read("a.jsonl", f'{{"text": "{text}"}}')) == ["zh"]


def test_a_classical_question_with_its_answer_is_classical():
    question, answer = (
        "或问曰：诸脉皆动，何以独取其一也？",
        "答曰：其处者，诸脉之所会也。医者察之，则知死生，故独取之。",
    )
    (one,) = read("a.csv", f"question,answer\n{question},{answer}\n")
    assert (one.language, one.domain) == ("lzh", "tcm")


def test_the_survey_says_how_certain_it_is():
    said = look("书.txt", book(CLASSICAL, LIST, CLASSICAL, MODERN))
    assert (said.languages, said.own, said.rows) == ({"lzh": 3, "zh": 1}, 3, 4)
    assert 0.5 <= said.words.certainty <= 1


def test_the_domain_comes_from_department_or_text():
    tcm = "脾虚湿热，舌苔黄腻，宜健脾益气、清热祛风，用黄芪、白术、茯苓水煎服。"
    row = '{{"question": "怎么办？", "answer": "{}", "department": "{}"}}'
    assert read("a.jsonl", row.format(tcm, ""))[0].domain == "tcm"
    assert read("a.jsonl", row.format(tcm, "内科"))[0].domain == "general"
    assert read("a.jsonl", row.format(MODERN, "中医科"))[0].domain == "tcm"
    assert read("a.jsonl", row.format(MODERN, ""))[0].domain == "general"
    assert read("a.jsonl", row.format(MODERN, ""), domain="tcm")[0].domain == "tcm"


def test_batched_scores_equal_single_ones():
    texts = [
        "",
        "\n",
        "之者也",
        "科植物，服之。",
        "为末之间",
        "aspirin 100 mg１２",
        "ガイドの",
        "的\ud800的",
        "\U0010ffff了",
        "夫" * 300,
    ]
    together = weigh_texts(texts)
    assert together == [weigh_text(text) for text in texts]
    assert [one.weight for one in together[2:6]] == [3.8, 0.3, -1.5, -2.0]
