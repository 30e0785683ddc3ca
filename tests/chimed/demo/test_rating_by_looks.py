"""The judge without a model does not call random characters fluent."""

import pytest

from chimed.rating.judge import parse_rating
from chimed_demo.rating_lessons import rated_by_looks
from chimed_demo.sites.planted import garbage


@pytest.mark.parametrize("seed", range(20))
def test_random_characters_are_not_fluent(seed):
    found = parse_rating(rated_by_looks("标题：高血压\n正文：" + "\n".join(garbage(seed))))
    assert (found["fluent"], found["factual"]) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "高血压患者应当低盐饮食，每天食盐不超过五克，规律服药，定期到医院复查。",
        "胃痛多因饮食不节，或情志不畅所致，治疗应先辨寒热虚实，再选方用药，忌食生冷。",
        "孩子发热时多喝温水，体温超过三十八度五可以服用退热药，精神不好要及时就医。",
        "头晕。",
    ],
)
def test_sentences_stay_fluent(text):
    assert parse_rating(rated_by_looks(f"问题：怎么办？\n回答：{text}"))["fluent"] >= 4
