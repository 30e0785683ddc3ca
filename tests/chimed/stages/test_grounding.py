"""The grounding gate on written answers: faithful ones pass, foreign and mixed ones are caught; rates printed, held."""

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from chimed.stages import generate_qa, grounding

DOCUMENTS = yaml.safe_load((Path(__file__).parent / "grounding_pairs.yaml").read_text(encoding="utf-8"))
PAIRS = [(one["text"], question, answer) for one in DOCUMENTS for question, answer in one["asked"]]
CAUGHT, REFUSED = 0.95, 0.05


def judged(document: str, question: str, answer: str) -> str | None:
    """The gate's reason against an answer, or None."""
    return generate_qa.ground(document, generate_qa.read(f"问题：{question}答案：{answer}")).reason


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
    for one in DOCUMENTS:
        wrong["by hand"] += [(one["text"], one["asked"][0][0], answer) for answer in one["wrong"]]
    for kind, several in wrong.items():
        missed = [one for one in several if judged(*one) is None]
        print(f"{kind:24} {len(several)} planted, {1 - len(missed) / len(several):.3f} caught")
        print(*missed, sep="\n")
        assert len(missed) <= (1 - CAUGHT) * len(several), kind
    assert len(PAIRS) >= 100
    assert len(refused) <= REFUSED * len(PAIRS)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("利水渗湿，健脾宁心", None),
        ("健脾宁心、利水渗湿。", None),
        ("茯苓可以利水渗湿，健脾宁心。", None),
        ("利水渗湿，孕妇使用本品宜过量。", "left out: 不"),
        ("宜过量", "left out: 不"),
        ("不宜过量", None),
        ("利水渗湿，健脾宁心，用量20克。", "numbers not found: 20"),
        ("利水渗湿，健脾宁心，降低血糖。", "0.67 of it found"),
    ],
)
def test_what_an_answer_may_do_to_its_document(answer, fault):
    document = "茯苓：利水渗湿，健脾宁心。孕妇使用本品不宜过量，用量10克。"
    assert grounding.align(answer, document, "茯苓有什么功效？").fault == fault


def test_evidence_is_where_the_words_stand():
    document = "功效：利水渗湿；健脾 宁心。用于水肿尿少。"
    found = grounding.align("用于水肿尿少，利水渗湿健脾宁心", document)
    assert [document[a:b] for a, b in found.evidence] == ["利水渗湿；健脾 宁心", "用于水肿尿少"]
