"""The grounding gate on written answers: grounded ones pass, wrong ones are caught; rates printed and held."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from chimed.stages import generate_qa
from chimed.text import grounding
from chimed.text.grounding import questions
from support.mutations import CHANGES, wrong_answers

HERE = Path(__file__).parent
DOCUMENTS = yaml.safe_load((HERE / "grounding_pairs.yaml").read_text(encoding="utf-8"))
PAIRS = [(one["text"], question, answer) for one in DOCUMENTS for question, answer in one["asked"]]
ADVERSARIAL = [json.loads(line) for line in (HERE / "grounding_pairs.jsonl").read_text(encoding="utf-8").splitlines()]
CAUGHT, REFUSED = 0.95, 0.05


def judged(document: str, question: str, answer: str) -> str | None:
    """The gate's reason against an answer, or None."""
    result = generate_qa.ground(document, generate_qa.Pair(question, answer))
    return result.reason and f"{result.reason}: {result.detail}"


def test_faithful_answers_pass_and_planted_ones_are_caught():
    refused = [(judged(*pair), *pair[1:]) for pair in PAIRS if judged(*pair)]
    print(f"\n{len(PAIRS)} faithful answers: {len(refused)} refused ({len(refused) / len(PAIRS):.3f})")
    print(*refused, sep="\n")
    wrong: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for n, (document, question, answer) in enumerate(PAIRS):
        foreign = PAIRS[(n + 41) % len(PAIRS)][2]
        wrong["from another document"].append((document, question, foreign))
        wrong["mixed: a sentence more"].append((document, question, f"{answer}{foreign}"))
        wrong["mixed: half and half"].append(
            (document, question, answer[: len(answer) // 2] + foreign[len(foreign) // 2 :])
        )
        for kind, changed in wrong_answers(answer, document):
            wrong[f"changed: {kind}"].append((document, question, changed))
    for one in DOCUMENTS:
        wrong["by hand"] += [(one["text"], one["asked"][0][0], answer) for answer in one["wrong"]]
    every = {kind: [one for one in several if judged(*one) is None] for kind, several in wrong.items()}
    for kind, missed in every.items():
        print(f"{kind:48} {len(wrong[kind]):4} planted, {len(missed)} passed")
        print(*missed, sep="\n")
    missed, planted = (sum(map(len, several)) for several in (every.values(), wrong.values()))
    print(f"{planted} wrong answers of {len(wrong)} kinds, {missed} passed ({missed / planted:.4f})")
    assert len(PAIRS) >= 100
    assert len(CHANGES) >= 20
    assert len(refused) <= REFUSED * len(PAIRS)
    assert missed <= 0.03 * planted
    for kind in ("from another document", "mixed: a sentence more", "mixed: half and half", "by hand"):
        assert len(every[kind]) <= (1 - CAUGHT) * len(wrong[kind]), kind


def test_pairs_written_against_the_gate():
    good = [one for one in ADVERSARIAL if one["verdict"] == "grounded"]
    wrong = [one for one in ADVERSARIAL if one["verdict"] != "grounded"]
    refused, passed = (
        [one for one in several if (judged(one["document"], one["question"], one["answer"]) is None) == expected]
        for several, expected in ((good, False), (wrong, True))
    )
    print(f"\n{len(good)} grounded, {len(refused)} refused; {len(wrong)} wrong, {len(passed)} passed")
    print(*[(one["question"], one["answer"]) for one in refused + passed], sep="\n")
    assert len(ADVERSARIAL) >= 250
    assert len(refused) <= REFUSED * len(good)
    assert len(passed) <= (1 - CAUGHT) * len(wrong)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("利水渗湿，健脾宁心", None),
        ("健脾宁心、利水渗湿。", None),
        ("茯苓可以利水渗湿，健脾宁心。", None),
        ("利水渗湿，孕妇使用本品宜过量。", "not found from 用宜过量: 孕妇使用本品宜过量"),
        ("宜过量", "not found from 宜过量: 宜过量"),
        ("孕妇不宜过量", "not found from 妇不宜过量: 孕妇不宜过量"),
        ("孕妇使用不宜过量", None),
        ("利水渗湿，健脾宁心，用量20克。", "not found from 量#20克: 用量20克"),
        ("利水渗湿，健脾宁心，用量10mg。", "not found from 量#10毫克: 用量10mg"),
        ("用量10g", None),
        ("用量十克", None),
        ("利水渗湿，健脾宁心，降低血糖。", "not found from 降低血糖: 降低血糖"),
        ("根据上文，利水渗湿，健脾宁心。", "speaks of the document: 根据上文，"),
        ("[从文档中提取的答案]", "placeholder: [从文档中提取的答案]"),
        ("。。。。", "says nothing"),
    ],
)
def test_what_an_answer_may_do_to_its_document(answer, fault):
    document = "茯苓：利水渗湿，健脾宁心。孕妇使用本品不宜过量，用量10克。"
    assert grounding.align(answer, document, "茯苓怎么用？").fault == fault


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("茯苓的功效是什么？", None),
        ("孕妇可以用茯苓吗？", None),
        ("根据上文，它有什么功效？", "speaks of a text: 上文"),
        ("文中如何说明功效？", "speaks of a text: 文中"),
        ("本品的用量是多少？", "points at what only the document names: 本品"),
        ("功效是什么？", "does not name what it is about"),
        ("孕妇能用吗？", "does not name what it is about"),
        ("茯苓", "asks nothing"),
        ("What is the dose?", "not Chinese"),
        ("[生成的问题]", "a placeholder"),
        ("黄芪的功效是什么？", "names what the document does not: 黄芪"),
        ("茯苓能治糖尿病吗？", "names what the document does not: 糖尿病"),
        ("云苓的功效是什么？", None),
    ],
)
def test_a_question_stands_alone(question, fault):
    document = "茯苓：利水渗湿，健脾宁心。孕妇使用本品不宜过量，用量10克。"
    assert questions.find_question_fault(question, document) == fault


def test_a_title_names_what_a_chunk_does_not():
    chunk = "本品利水渗湿，健脾宁心。用量10克。"
    pair = generate_qa.Pair("茯苓的用量是多少？", "茯苓的用量为10克。")
    assert generate_qa.ground(chunk, pair).reason == "question cannot stand alone"
    assert generate_qa.ground(chunk, pair, title="茯苓").reason is None


def test_evidence_is_where_the_words_stand():
    document = "功效：利水渗湿；健脾 宁心。皮可行水。用于水肿尿少。"
    found = grounding.align("用于水肿尿少，利水渗湿健脾宁心", document)
    assert [document[a:b] for a, b in found.evidence] == ["利水渗湿；健脾 宁心", "用于水肿尿少"]
