"""Blank what a page's template and its doses say, so that a topic is what the page is about. Ours.

Labels are learned: words that stand in 【】 or before a colon, where a line or a clause begins, in many rows of a kind.
Names of medicine are none: a book's entries begin with them.
"""

from collections.abc import Iterable

import polars as pl

from chimed.diversity.features import topic
from chimed.diversity.medicine import numbers_of_names

SHARE = 0.02  # of a kind's rows that must have a label
LEAST = 5  # rows that must have it
LONGEST = 12  # letters of a label
MOST = 500  # labels
_OPENS, _CLOSES = r"[【\[〔「]", r"[】\]〕」]"
_BEGINS = r"(?m)(?:^|[\s。；;，,！？!?）)】])"
# 【功效】, and 功效： where a line or a clause begins
_STANDS = (
    rf"{_OPENS}\s*(?P<word>[\p{{L}}、]{{1,{LONGEST}}})\s*{_CLOSES}",
    rf"{_BEGINS}\s*(?P<word>\p{{L}}{{2,{LONGEST}}})\s*[：:∶]",
)
_UNITS = (
    "克|毫克|微克|千克|公斤|斤|两|钱|毫升|升|厘米|毫米|米|公分|片|粒|丸|枚|剂|次|天|日|周|个月|月|年|岁|小时|分钟|度|℃|%|％|个|只|条|滴|包|袋|支|瓶|倍|服|帖|"
    "分|mg|g|kg|ml|l|cm|mm|m|μg|ug"
)  # fmt: skip
_NUMBER = rf"(?i)[0-9０-９][0-9０-９.．~～〜—–\-－至]*\s*(?:{_UNITS})?"
# 三钱, 二两半, 各五分; not 百合: neither 百 counts nor 合
_DOSE = r"各?[一二三四五六七八九十半两数]{1,4}(?:两|钱|分|枚|升|斤|铢|片|茎|寸|丸|匕|盏|匙|撮|剂|帖|服|克)半?"


def learn_labels(rows: pl.DataFrame) -> list[str]:
    """Return the words that stand as labels in many rows of a kind, the longest first. rows: kind, and of `topic`."""
    found: set[str] = set()
    for some in rows.partition_by("kind", maintain_order=True):
        texts = some.select(topic()).to_series()
        said = pl.DataFrame({"row": range(len(texts)), "word": _labelled(texts)}).explode("word").drop_nulls().unique()
        counts = said.group_by("word").len().filter(pl.col("len") >= max(LEAST, SHARE * len(texts)))
        found |= set(counts.sort("len", "word", descending=[True, False])["word"].head(MOST))
    names = numbers_of_names()
    return sorted((word for word in found if word not in names), key=lambda word: (-len(word), word))


def _labelled(texts: pl.Series) -> pl.Series:
    """Return the words that stand as labels in each text."""
    edges = r"[\s\p{P}\p{S}]+"
    several = (texts.str.extract_all(pattern).list.eval(pl.element().str.replace_all(edges, "")) for pattern in _STANDS)
    one, two = several
    return pl.select(pl.concat_list(one, two)).to_series()


def blank(texts: pl.Series, labels: Iterable[str]) -> pl.Series:
    """Return texts without these labels, where they stand as such, and without numbers, their units, and doses."""
    words = "|".join(labels)  # letters only, so none has a meaning in a pattern
    if words:
        texts = texts.str.replace_all(rf"{_OPENS}\s*(?:{words})\s*{_CLOSES}", "\n")
        texts = texts.str.replace_all(rf"{_BEGINS}\s*(?:{words})\s*[：:∶]", "\n")
        texts = texts.str.replace_all(rf"(?m)^\s*(?:{words})(?:\s|$)", "\n")
    return texts.str.replace_all(_NUMBER, " ").str.replace_all(_DOSE, " ")
