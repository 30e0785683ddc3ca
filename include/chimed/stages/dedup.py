"""Drop what is there twice: the same URL, the same text, nearly the same text (paper §3.2: by URL; the rest is ours).

Near-duplicates: MinHash over character shingles (Lee et al., arXiv 2107.06499) finds candidates, the true Jaccard
similarity decides. A question with another answer is no copy: question and answer must both be alike.
"""

import polars as pl
import rensa

from chimed.build import Outcome, Work
from chimed.records import left_rows, words
from chimed.sources import NAMES

SHINGLE = 5  # characters; Chinese has no spaces to shingle words by
PERMUTATIONS = 128
BANDS = 32  # of 4 rows: finds a pair of similarity 0.8 with probability 1 - (1 - 0.8^4)^32 > 0.9999
SIMILAR = 0.8  # Jaccard similarity from which two texts are one (FineWeb, MinHash at 0.75 to 0.8)
LEAST = 20  # characters: below, five-character shingles say nothing


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Keeps one of each; the dropped rows' detail names the record they copy and how alike they are."""
    why = same_url(records)
    rest = records.filter(~pl.col("id").is_in(list(why)))
    why |= same_text(rest)
    rest = rest.filter(~pl.col("id").is_in(list(why)))
    why |= nearly_same_text(rest)
    kept = records.filter(~pl.col("id").is_in(list(why))).unique("id", keep="last", maintain_order=True)
    again = _fetched_again(records)
    dropped = left_rows(again.filter(pl.col("last")).drop("last"), why)
    repeats = left_rows(
        again.filter(~pl.col("last")).drop("last"), {id: ("same URL, older fetch", id) for id in again["id"]}
    )
    return Outcome(kept, pl.concat([dropped, repeats]))


def _fetched_again(records: pl.DataFrame) -> pl.DataFrame:
    """The records, with `last` false for rows whose id comes again later (an unchanged page of an older crawl)."""
    return records.with_columns(last=pl.int_range(pl.len()).over("id") == pl.len().over("id") - 1)


def same_url(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Records of a page that was fetched again later and changed: id → reason, the URL."""
    newest = records.sort("fetched", "page").unique("url", keep="last").select("url", newest="page")
    joined = records.join(newest, on="url")
    current = set(joined.filter(pl.col("page") == pl.col("newest"))["id"])
    older = joined.filter(~pl.col("id").is_in(list(current)))
    return {id: ("same URL, older fetch", url) for id, url in older.select("id", "url").iter_rows()}


def same_text(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Records whose letters and digits are those of a record before them in `_by_preference`: id → reason, its id."""
    letters = _letters(words()).alias("letters")
    ordered = _by_preference(records).with_columns(letters)
    first = ordered.unique("letters", keep="first", maintain_order=True).select("letters", original="id")
    copies = ordered.join(first, on="letters").filter(pl.col("id") != pl.col("original"))
    return {id: ("same text", original) for id, original in copies.select("id", "original").iter_rows()}


def nearly_same_text(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Records alike to one that stays: id → reason, its id and the similarity. The longest of a group stays."""
    ordered = _by_preference(records).with_columns(
        first=_letters(pl.coalesce("text", "question")),
        second=_letters(pl.coalesce("answer", pl.lit(""))),
    )
    rows = ordered.sort(
        pl.col("first").str.len_chars() + pl.col("second").str.len_chars(), descending=True, maintain_order=True
    )
    index = rensa.RMinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS, num_bands=BANDS)
    kept: list[tuple[str, set[str], set[str]]] = []
    copies: dict[str, tuple[str, str]] = {}
    for id, first, second in rows.select("id", "first", "second").iter_rows():
        if len(first) + len(second) < LEAST:
            continue
        one, two = _shingles(first), _shingles(second)
        sketch = rensa.RMinHash(num_perm=PERMUTATIONS, seed=42)
        sketch.update(sorted(one | two))
        best = max(
            (
                (min(_jaccard(one, kept[n][1]), _jaccard(two, kept[n][2])), kept[n][0])
                for n in sorted(index.query(sketch))
            ),
            default=(0.0, ""),
        )
        if best[0] >= SIMILAR:
            copies[id] = ("nearly the same text", f"{best[1]} {best[0]:.2f}")
            continue
        index.insert(len(kept), sketch)
        kept.append((id, one, two))
    return copies


def _by_preference(records: pl.DataFrame) -> pl.DataFrame:
    """Which of two equals stays: the one published first, then by source in the paper's order, then by URL."""
    rank = pl.col("source").replace_strict({name: n for n, name in enumerate(NAMES)}, default=len(NAMES))
    return records.sort(pl.col("published"), rank, "url", "id", nulls_last=True)


def _letters(text: pl.Expr) -> pl.Expr:
    """Letters and digits of a text, full-width forms folded: what stays when layout and punctuation go."""
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]", "")


def _shingles(text: str) -> set[str]:
    return {text[n : n + SHINGLE] for n in range(max(1, len(text) - SHINGLE + 1))} if text else set()


def _jaccard(one: set[str], two: set[str]) -> float:
    return len(one & two) / len(one | two) if one or two else 1.0
