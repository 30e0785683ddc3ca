"""The rules on two labelled sets: precision and recall, by kind, printed and held; spans, columns, hostile texts.

`identifier_texts.yaml` has texts by kind as people write them; `identifier_texts.jsonl` has what is hidden on purpose,
full names, and texts of medicine that only look like either: {text, identifier, name}, a kind or null each. The rules
were mended on both. Before that the second gave rules precision 0.985 and recall 0.882, names 0.941 and 0.870.

Lines with `set` came later. `first look` was written by somebody who had not read the rules, and gave rules precision
0.995 and recall 0.831 (219 to find), names 1.000 and 0.648 (71). The rules were then mended on it, so its figures here
are no longer of unseen texts; 546 of its 557 texts stand here (4 are argued over, 7 stood here already), and seven have
another kind than they were first given. `second look` was written after the mending, by the same hand, who had read the
rules by then; nothing was mended on it. It is small: 34 to find by rules, 17 names.
"""

import dataclasses
import json
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from chimed.pipeline import trace
from chimed.release.rows import COLUMNS
from chimed.schema import RECORD, derived
from chimed.stages import clean
from chimed.storage import lake as lakes
from chimed.text import identifiers
from chimed.text.identifiers import names
from chimed.text.identifiers.plain_forms import to_plain_form
from support.samples import document, qa, rows

RULES = ("numbers", "contacts", "addresses")
HERE = Path(__file__).parent


def by_kind() -> list[tuple[str, set[str]]]:
    """Texts with the kinds of identifiers that are in them."""
    content = yaml.safe_load((HERE / "identifier_texts.yaml").read_text(encoding="utf-8"))
    several, none = content.pop("several"), content.pop("none")
    texts = [(text, {kind}) for kind, said in content.items() for text in said]
    return [*texts, *((one["text"], set(one["kinds"])) for one in several), *((text, set()) for text in none)]


def hidden() -> list[dict]:
    return [json.loads(line) for line in (HERE / "identifier_texts.jsonl").read_text(encoding="utf-8").splitlines()]


def measured(title: str, said: list[tuple[str, set[str], set[str]]]) -> tuple[float, float]:
    """Prints precision and recall by text and by kind of (text, found, labelled); returns those by text."""
    right, false, missed = Counter(), Counter(), Counter()
    for text, found, labelled in said:
        right.update(found & labelled)
        false.update(found - labelled)
        missed.update(labelled - found)
        {(True, True): right, (True, False): false, (False, True): missed}.get(
            (bool(found), bool(labelled)), Counter()
        ).update(["text"])
        if bool(found) != bool(labelled):
            print(f"  {text}: found {sorted(found)}, labelled {sorted(labelled)}")
    print(f"{title}: {len(said)} texts, {sum(not labelled for _, _, labelled in said)} of them with nothing to find")
    shares = {}
    for kind in sorted({*right, *missed}, key=lambda kind: (kind != "text", kind)):
        shares[kind] = right[kind] / (right[kind] + false[kind] or 1), right[kind] / (right[kind] + missed[kind] or 1)
        print(
            f"  {kind:20} precision {shares[kind][0]:.3f} recall {shares[kind][1]:.3f} of {right[kind] + missed[kind]}"
        )
    return shares["text"]


# What precision and recall by text are held to, of rules and of names; the second look is not mended on
HELD = (("hidden on purpose", 0.97, 0.95), ("first look", 0.97, 0.95), ("second look", 0.85, 0.55))


def test_rules_and_names_precision_and_recall():
    def found(text: str, families: tuple[str, ...]) -> set[str]:
        return {one.kind for one in identifiers.find_identifiers(text, families)}

    texts = hidden()
    print()
    plain_ones = measured("rules, as people write", [(text, found(text, RULES), kinds) for text, kinds in by_kind()])
    assert min(plain_ones) >= 0.98
    for title, held_rules, held_names in HELD:
        chosen = [one for one in texts if one.get("set", "hidden on purpose") == title]
        rules = measured(
            f"rules, {title}",
            [(one["text"], found(one["text"], RULES), {one["identifier"]} - {None}) for one in chosen],
        )
        full = measured(
            f"names, {title}", [(one["text"], found(one["text"], ("names",)), {one["name"]} - {None}) for one in chosen]
        )
        assert min(rules) >= held_rules
        assert min(full) >= held_names
    assert len(texts) >= 1_400
    assert len({one["text"] for one in texts}) == len(texts)


@pytest.mark.parametrize("family", identifiers.FAMILIES)
def test_triggers_pick_every_matching_text(family):
    texts = [text for text, _ in by_kind()] + [one["text"] for one in hidden()]
    picked = (
        pl.DataFrame(
            {
                str(n): pl.Series(texts).str.contains(trigger)
                for n, trigger in enumerate(identifiers.FAMILIES[family].triggers)
            }
        )
        .select(pl.any_horizontal(pl.all()))
        .to_series()
    )
    assert [
        text
        for text, taken in zip(texts, picked, strict=True)
        if not taken and identifiers.find_identifiers(text, (family,))
    ] == []


HOSTILE = (
    "1", " ", "1-", "- ", "a", "a@", "@", "a.", "a_", "微信", "微信:", "vx", "扣", "市", "省市县", "路",
    "3号楼", "一", "①",
    "1\ufe0f\u20e3", "\u200b", "(", "【(", "住", "地址：", "王", "王明", "患者王", "姓名：", "医生",
    "我叫", "男", "王明，",
    "扫码", "https://", "1.3.", "138-1234-", "010-", "11010519", "出生", "1990-", "护照", "住院号:",
    "京A1", "电话 l", "❤",
    "\n", "书名：a ", "at ", "a#", "微博@", "河南省周口市", "县村", "13800138000 ",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_100_kb_of_one_thing_take_a_second(text):
    long = (text * 100_000)[:100_000]
    for whole in (long, f"{long[:-9]}书名：a"):
        started = time.process_time()
        identifiers.redact(whole)
        assert time.process_time() - started < 1


def test_forty_thousand_spaces_take_no_time():
    started = time.process_time()
    assert identifiers.find_identifiers("书名：a" + " " * 40_000, tuple(identifiers.FAMILIES)) == []
    assert time.process_time() - started < 1


def test_spans_are_the_original_texts():
    text = "电话　１３８－００１３－８０００，或一三八零零一三八零零零，或1\u200b3\u200b800138000。"
    assert [text[one.start : one.end] for one in identifiers.find_identifiers(text)] == [
        "１３８－００１３－８０００",
        "一三八零零一三八零零零",
        "1\u200b3\u200b800138000",
    ]
    assert identifiers.redact(text) == "电话　【已隐去】，或【已隐去】，或【已隐去】。"


def test_a_text_in_plain_form_knows_its_places():
    simple = to_plain_form("a\u200b①️⃣Ｂ")
    assert simple.text == "a1B"
    assert simple.span(1, 2) == (2, 5)


@pytest.mark.parametrize(
    "text", ["王医生您好", "李女士，58岁", "张仲景《伤寒论》", "何首乌、徐长卿各10g", "患者李某，男", "姓名：保密"]
)
def test_titles_history_and_herbs_name_nobody(text):
    assert names.find_full_names(text) == []


def test_cleaning_records_identifiers_before_any_change(work):
    shown, hidden_one = (
        document("每次0.25g，一日3次，连服7天，饭后服用。"),
        qa("治好了，加V❤：tangyou88", "患者李秀兰因胸闷入院。"),
    )
    old = document("卷一：吴叔宝先生无病而得死脉。", language="lzh", url="http://a/2")
    outcome = clean.run(rows(shown, hidden_one, old), work)
    found = dict(outcome.kept.select("id", "identifiers").iter_rows())
    assert found == {
        shown["id"]: None,
        hidden_one["id"]: ["WeChat id question[4:17]", "patient's name answer[2:5]"],
        old["id"]: None,
    }
    assert outcome.figures["identifiers"] == {"WeChat id": 1, "patient's name": 1}
    assert (
        derived(outcome.kept.filter(pl.col("id") == hidden_one["id"]).to_dicts()[0], text="甲")["identifiers"] is None
    )


def test_cleaning_redacts_the_pages_own_words(work):
    work = dataclasses.replace(work, options=work.options.model_copy(update={"redact": True}))
    outcome = clean.run(rows(qa("治好了，加V❤：tangyou88", "患者李秀兰因胸闷入院。", title="电话①③⑧00138000")), work)
    (row,) = outcome.kept.to_dicts()
    assert (row["title"], row["question"], row["answer"]) == (
        "电话【已隐去】",
        "治好了，【已隐去】",
        "患者【已隐去】因胸闷入院。",
    )
    assert row["identifiers"] is None
    assert outcome.figures["identifiers"] == {"WeChat id": 1, "mobile number": 1, "patient's name": 1}


def test_older_tables_read_with_null(work):
    lake = work.lake
    young = rows(document("茯苓健脾。"))
    path = "builds/1/clean/kept-00000.parquet"
    lakes.write_bytes(lake, path, b"")
    pq.write_table(young.drop("identifiers").to_arrow(), lake.at(path))
    whole = lakes.read_table(lake, path, schema=RECORD)
    (batch,) = lakes.read_batches(lake, path, ["id", "identifiers"], RECORD)
    assert whole.columns == RECORD.names
    assert whole.schema == young.schema
    assert whole["identifiers"].to_list() == batch["identifiers"].to_list() == [None]
    assert batch["identifiers"].dtype == pl.List(pl.String)


def test_a_trace_shows_kinds_and_places(work, capsys):
    outcome = clean.run(rows(qa("治好了，加V❤：tangyou88", "患者李秀兰因胸闷入院。")), work)
    (row,) = outcome.kept.to_dicts()
    trace._print_record(row | {"fate": "kept", "answers": []})
    assert "identifiers WeChat id question[4:17], patient's name answer[2:5]\n" in capsys.readouterr().out
    del row["identifiers"]
    trace._print_record(row | {"fate": "kept", "answers": []})
    assert "identifiers" not in capsys.readouterr().out


def test_the_column_is_in_no_release():
    assert not any("identifiers" in schema.names for schema in COLUMNS.values())
