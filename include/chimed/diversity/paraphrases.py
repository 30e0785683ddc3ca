"""Tell which questions ask nearly the same in other words, at column speed. Ours.

Two questions of different pages are near-paraphrases if they share most of what tells them from other questions (cosine
of TF-IDF over pairs of letters, `ALIKE`), the last letters of what is asked among it, and name the same medicine,
numbers, signs, negations, sides and opposites: questions that differ in one of these are variants, as they are to
`dedup`. Questions with the same words are counted apart. Synonyms without a letter in common are not seen, so the share
is a lower bound.

How many there are is measured on a sample of questions, each compared with every question of the corpus. Which rows of
an over-full cluster are near-paraphrases is estimated from signatures (MinHash over the same pairs, of `BANDS` times
`ROWS` hashes), since a corpus has too many pairs to compare.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from chimed.diversity.features import BITS, count_pairs, rarity, weigh
from chimed.diversity.medicine import find_numbers
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.text.duplicates.compared import compared_points, hash_facts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PROBES = 1_000  # questions of the sample that are compared with all
# Cosine from which two questions with the same facts are near-paraphrases, of the whole and of the end: of pairs of
# short questions read, 43 of 50 ask the same from 0.65 on, fewer from 0.6.
ALIKE = 0.65
SAME = 0.999  # from here the words are the same
END = 12  # letters: long questions begin with the same story and end with what is asked
READ = 500  # characters of a question
BANDS, ROWS = 8, 2  # of a signature
SHARED = 3  # bands that a near-paraphrase has in common with a row before it
_AT_A_TIME = 4_000  # rows of a part that are compared with the sample together
_OPPOSITES = "阴阳高低升降轻重大小男女孕"  # a question with another of these is another
# ways to ask whether, which deny nothing
_WHETHER = ("能不能", "可不可以", "可以不可以", "会不会", "是不是", "有没有", "要不要", "用不用", "需不需要", "好不好")


@dataclass(frozen=True)
class Probes:
    """The questions of the sample. rare: how much pairs tell among questions. vectors: one line each, of length 1;
    ends: of their last letters.

    facts: hashes of what a paraphrase must have alike; pages: hashes of their URLs; ids.
    """

    rare: np.ndarray
    vectors: "csr_matrix"
    ends: "csr_matrix"
    facts: np.ndarray
    pages: np.ndarray
    ids: tuple[str, ...]


def asked(rows: pl.DataFrame) -> pl.Series:
    """Return the beginning of each row's question; empty where it has none."""
    return rows["question"].fill_null("").str.slice(0, READ)


def facts_of(questions: pl.Series) -> np.ndarray:
    """Return a hash (u64) of each question's numbers, signs, negations, sides and opposites in order, and its names of
    medicine.
    """
    plain = questions.str.replace_many(list(_WHETHER), ["可以"] * len(_WHETHER), leftmost=True)
    found = compared_points(plain, 1)
    told = hash_facts(found.points, np.cumsum(found.lengths + 1))
    names = find_numbers(questions).cast(pl.List(pl.String)).list.join(",")
    opposites = questions.str.replace_all(f"[^{_OPPOSITES}]+", "")
    others = pl.DataFrame({"names": names, "opposites": opposites}).hash_rows(seed=0).to_numpy()
    hashes: np.ndarray = told ^ (others * np.uint64(0x9E3779B97F4A7C15))
    return hashes


def ends_of(questions: pl.Series) -> pl.Series:
    """Return the last letters of each question's last clause that has at least four."""
    plain = questions.str.replace_all(r"[\s\p{P}]+", " ").str.replace(r"(?: \S{1,3})? ?$", "")
    last = plain.str.extract(r"(\S+)$")
    return pl.select(pl.coalesce(last, questions)).to_series().str.slice(-END)


def pages_of(rows: pl.DataFrame) -> np.ndarray:
    """Return a hash (u64) of each row's URL."""
    return rows["url"].hash(seed=0).to_numpy()


def learn(rows: pl.DataFrame) -> Probes:
    """Return the sample to compare with: the `PROBES` questions with the smallest ids. rows: id, url, question."""
    ordered = rows.sort("id")
    rare = rarity(count_pairs(asked(ordered)))
    some = ordered.filter(pl.col("question").fill_null("").str.strip_chars() != "").head(PROBES)
    questions = asked(some)
    vectors = weigh(count_pairs(questions), rare)
    ends = weigh(count_pairs(ends_of(questions)), rare)
    return Probes(rare, vectors, ends, facts_of(questions), pages_of(some), tuple(some["id"]))


def compare(probes: Probes, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the nearest paraphrase, and the nearest with the same words, of each question of the sample that has one.

    rows: id, url, question. Columns: probe (its number), same (the words), id, alike (cosine).
    """
    found = [_compare(probes, rows.slice(start, _AT_A_TIME)) for start in range(0, len(rows), _AT_A_TIME)]
    return nearest(found)


def _compare(probes: Probes, rows: pl.DataFrame) -> pl.DataFrame:
    questions = asked(rows)
    alike = (probes.vectors @ weigh(count_pairs(questions), probes.rare).T).tocoo()
    near = np.flatnonzero(alike.data >= ALIKE)
    one, two, cosine = alike.row[near], alike.col[near], alike.data[near]
    ends = weigh(count_pairs(ends_of(questions)), probes.rare)
    alike_ends = np.asarray(probes.ends[one].multiply(ends[two]).sum(axis=1)).ravel()
    good = (probes.facts[one] == facts_of(questions)[two]) & (probes.pages[one] != pages_of(rows)[two])
    good &= (alike_ends >= ALIKE) | (cosine >= SAME)
    one, two, cosine = one[good], two[good], np.round(cosine[good], 6)
    found = {"probe": one.astype(np.uint32), "same": cosine >= SAME, "id": rows["id"].gather(two)}
    return pl.DataFrame({**found, "alike": cosine}, schema=PAIRS)


PAIRS = {"probe": pl.UInt32, "same": pl.Boolean, "id": pl.String, "alike": pl.Float64}


def nearest(several: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the nearest of each question of the sample, in the same words and in others; of equals the smaller id.

    several: tables of `compare`.
    """
    every = pl.concat([pl.DataFrame(schema=PAIRS), *several])
    ordered = every.sort("probe", "same", "alike", "id", descending=[False, False, True, False])
    return ordered.unique(["probe", "same"], keep="first", maintain_order=True)


# --- signatures --------------------------------------------------------------------------------------------------


def signatures(rows: pl.DataFrame) -> np.ndarray:
    """Return `BANDS` hashes (u64) of each row's question; 0 where it has none. Of questions with other facts none is
    alike.
    """
    questions = asked(rows)
    counts = count_pairs(questions)
    has = np.flatnonzero(np.diff(counts.indptr))
    found = np.zeros((len(rows), BANDS), np.uint64)
    if not len(has):
        return found
    facts = facts_of(questions)[has]
    starts = counts.indptr[:-1][has]
    orders = np.random.default_rng(0).permuted(
        np.tile(np.arange(1 << BITS, dtype=np.uint64), (BANDS * ROWS, 1)), axis=1
    )
    for band in range(BANDS):
        key = facts.copy()
        for order in orders[band * ROWS : (band + 1) * ROWS]:
            key = (key ^ np.minimum.reduceat(order[counts.indices], starts)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        found[has, band] = key | np.uint64(1)
    return found


def repeats(keys: np.ndarray) -> np.ndarray:
    """Return which rows are near-paraphrases of one before them, by their signatures (rows, `BANDS`), best row first.

    A row is compared with the first row of each of its bands, so it takes no longer where many rows are alike.
    """
    rows, bands = np.nonzero(keys)
    table = pl.DataFrame({"row": rows, "band": bands, "key": keys[rows, bands]})
    firsts = table.with_columns(first=pl.col("row").min().over("band", "key")).filter(pl.col("first") < pl.col("row"))
    shared = firsts.group_by("row", "first").len().filter(pl.col("len") >= SHARED)
    found = np.zeros(len(keys), bool)
    found[shared["row"].to_numpy()] = True
    return found


# --- in the lake ------------------------------------------------------------------------------------------------


def save(lake: Lake, path: str, probes: Probes) -> None:
    """Write the sample as numbers and ids, in NumPy's own format."""
    sink = io.BytesIO()
    vectors = probes.vectors
    parts: dict[str, Any] = {"data": vectors.data, "indices": vectors.indices, "indptr": vectors.indptr}
    parts |= {f"end_{name}": getattr(probes.ends, name) for name in ("data", "indices", "indptr")}
    parts |= {"rare": probes.rare, "facts": probes.facts, "pages": probes.pages, "ids": np.array(probes.ids, np.str_)}
    np.savez(sink, allow_pickle=False, **parts)
    lakes.write_bytes(lake, path, sink.getvalue())


def read(lake: Lake, path: str) -> Probes:
    """Read the sample. Raises FileNotFoundError where there is none."""
    from scipy.sparse import csr_matrix

    with np.load(io.BytesIO(lakes.read_bytes(lake, path)), allow_pickle=False) as kept:
        vectors, ends = (
            csr_matrix(
                tuple(kept[f"{which}{name}"] for name in ("data", "indices", "indptr")),
                shape=(len(kept["ids"]), 1 << BITS),
            )
            for which in ("", "end_")
        )
        return Probes(kept["rare"], vectors, ends, kept["facts"], kept["pages"], tuple(kept["ids"].tolist()))
