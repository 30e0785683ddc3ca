"""The rules on a labelled set: precision and recall, by text and by kind, printed and held."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from chimed.stages import identifiers

LEAST = 0.98


def labelled() -> list[tuple[str, set[str]]]:
    """Texts with the kinds that are in them."""
    content = yaml.safe_load((Path(__file__).parent / "identifier_texts.yaml").read_text(encoding="utf-8"))
    several, none = content.pop("several"), content.pop("none")
    texts = [(text, {kind}) for kind, said in content.items() for text in said]
    return [*texts, *((one["text"], set(one["kinds"])) for one in several), *((text, set()) for text in none)]


def test_precision_and_recall_on_the_labelled_set():
    texts = labelled()
    right: Counter[str] = Counter()
    false: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong = []
    for text, kinds in texts:
        found = {one.kind for one in identifiers.find(text)}
        right.update(found & kinds)
        false.update(found - kinds)
        missed.update(kinds - found)
        both = "text", bool(found), bool(kinds)
        {(True, True): right, (True, False): false, (False, True): missed}.get(both[1:], Counter()).update(both[:1])
        if found != kinds:
            wrong.append(f"{text}: found {sorted(found)}, labelled {sorted(kinds)}")
    print(f"\n{len(texts)} texts, {sum(not kinds for _, kinds in texts)} of them near misses")
    for kind in ("text", *(kind for kind in dict.fromkeys(k for _, ks in texts for k in sorted(ks)))):
        precision, recall = right[kind] / (right[kind] + false[kind]), right[kind] / (right[kind] + missed[kind])
        print(f"{kind:20} precision {precision:.3f} recall {recall:.3f} of {right[kind] + missed[kind]}")
    print(*wrong, sep="\n")
    kinds = [kind for kind in right if kind != "text"]
    for several in (["text"], kinds):
        hits = sum(right[kind] for kind in several)
        assert hits / (hits + sum(false[kind] for kind in several)) >= LEAST
        assert hits / (hits + sum(missed[kind] for kind in several)) >= LEAST
    assert len(texts) >= 300
    assert len({text for text, _ in texts}) == len(texts)


@pytest.mark.parametrize(
    "text", ["", "　", "1" * 100_000, "1-" * 50_000, "市" * 100_000, "a@" * 50_000, "@" * 100_000, "微信" * 50_000]
)
def test_long_nonsense_takes_no_time(text):
    """Time grows with length, not with its square: the suite's own time-out would tell."""
    identifiers.find(text)


def test_spans_are_those_of_the_text_as_it_stands():
    text = "电话　１３８－００１３－８０００，或一三八零零一三八零零零。"
    assert [text[one.start : one.end] for one in identifiers.find(text)] == [
        "１３８－００１３－８０００",
        "一三八零零一三八零零零",
    ]
    assert identifiers.redacted(text) == "电话　【已隐去】，或【已隐去】。"
