"""Tell which questions ask nearly the same in other words, at column speed. Ours.

Two questions of different pages are near-paraphrases if they ask the same kind of thing (`asking`), share most of what
tells them from other questions (cosine of TF-IDF over pairs of letters, `ALIKE`), the last letters among it, hardly say
other words instead (`INSTEAD`), and name the same medicine, numbers, signs, negations, sides, opposites and parts of
the body: questions that differ in one of these are variants, as they are to `dedup`. Questions with the same words are
counted apart. Synonyms that no list has are not seen, so the share is a lower bound.

How many there are is measured on a sample of questions, each compared with every question of the corpus. Which rows of
an over-full cluster are near-paraphrases is estimated from signatures (MinHash over the same pairs, of `BANDS` times
`ROWS` hashes), since a corpus has too many pairs to compare.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.diversity.asking import reduce_questions
from chimed.diversity.features import BITS, count_pairs, rarity, weigh
from chimed.diversity.medicine import find_numbers
from chimed.errors import UserError
from chimed.storage.arrays import read_arrays, write_arrays
from chimed.storage.lake import Lake
from chimed.text.duplicates.compared import compared_points, hash_facts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PROBES = 1_000  # questions of the sample that are compared with all
# Cosine from which two questions with the same facts are near-paraphrases, of the whole and of the end.
ALIKE = 0.65
# Share of a question's letters that the other may lack while it has others instead: in a short question one such letter
# makes another of it (tea and wine).
INSTEAD = 0.1
END = 12  # letters: long questions begin with the same story and end with what is asked
READ = 500  # characters of a question
BANDS, ROWS = 8, 2  # of a signature
SHARED = 3  # bands that a near-paraphrase has in common with a row before it
_AT_A_TIME = 4_000  # rows of a part that are compared with the sample together
# a question with another of these is another: opposites, stages, order, colours, seasons
_OPPOSITES = (
    "阴阳高低升降轻重大小男女孕急慢早晚前后空餐首末初终中红黄绿黑白青紫蓝灰褐粉冷热寒温凉干湿软硬粗细厚薄胖瘦长短深浅快新旧生熟内外良恶原继单双多少"
    "剖顺春夏秋冬昼夜父母子虚实甲乙丙丁戊先晨醒睡坐站蹲增减停始胀痛麻痒"
)
_PARTS = "头颈肩胸背腰腹臀腿膝踝脚足手肘腕指趾眼耳鼻舌牙唇口喉心肝胆脾肺肾胃肠肛脸面皮骨血尿便乳"
_LONG = 60  # letters: of a longer question opposites and parts count at its end only, since stories differ in them


@dataclass(frozen=True)
class Probes:
    """The questions of the sample. rare: how much pairs tell among questions. vectors: one line each, of length 1;
    ends: of their last letters.

    facts: hashes of what a paraphrase must have alike; words: hashes of their letters and digits; pages: hashes of
    their URLs; about: what they are about, in few words; ids.
    """

    rare: np.ndarray
    vectors: "csr_matrix"
    ends: "csr_matrix"
    facts: np.ndarray
    words: np.ndarray
    pages: np.ndarray
    about: tuple[str, ...]
    ids: tuple[str, ...]


def asked(rows: pl.DataFrame) -> pl.Series:
    """Return the beginning of each row's question; empty where it has none."""
    return rows["question"].fill_null("").str.slice(0, READ)


def facts_of(questions: pl.Series, reduced: pl.DataFrame) -> np.ndarray:
    """Return a hash (u64) of what two questions must have alike to ask the same.

    That is numbers, signs, negations and sides in order; what is asked; names of medicine; and opposites and parts of
    the body. reduced: of these questions (`reduce_questions`).
    """
    found = compared_points(reduced["about"] + " " + questions.str.replace_all(r"[^0-9.:/+\-<>=~×%‰±↑↓°]+", " "), 1)
    told = hash_facts(found.points, np.cumsum(found.lengths + 1))
    names = find_numbers(reduced["about"]).cast(pl.List(pl.String)).list.join(",")
    about = pl.col("about")
    end = pl.when(about.str.len_chars() > _LONG).then(about.str.slice(-END)).otherwise(about)
    kept = (
        end.str.extract_all(f"[{few}]").list.unique().list.sort().list.join("").alias(name)
        for name, few in (("opposites", _OPPOSITES), ("parts", _PARTS))
    )
    others = reduced.select("asks", *kept).with_columns(names=names).hash_rows(seed=0).to_numpy()
    hashes: np.ndarray = told ^ (others * np.uint64(0x9E3779B97F4A7C15))
    return hashes


def ends_of(about: pl.Series) -> pl.Series:
    """Return the last letters of the last clause that has at least four, of what each question is about."""
    plain = about.str.replace(r"(?: \S{1,3})? ?$", "")
    last = plain.str.extract(r"(\S+)$")
    return pl.select(pl.coalesce(last, about)).to_series().str.slice(-END)


def words_of(questions: pl.Series) -> np.ndarray:
    """Return a hash (u64) of each question's letters and digits, in any case."""
    return questions.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "").hash(seed=0).to_numpy()


def pages_of(rows: pl.DataFrame) -> np.ndarray:
    """Return a hash (u64) of each row's URL."""
    return rows["url"].hash(seed=0).to_numpy()


def learn(rows: pl.DataFrame) -> Probes:
    """Return the sample to compare with: the `PROBES` questions with the smallest ids. rows: id, url, question."""
    ordered = rows.sort("id")
    rare = rarity(count_pairs(reduce_questions(asked(ordered))["about"]))
    some = ordered.filter(pl.col("question").fill_null("").str.strip_chars() != "").head(PROBES)
    questions = asked(some)
    reduced = reduce_questions(questions)
    about = reduced["about"]
    vectors, ends = (weigh(count_pairs(texts), rare) for texts in (about, ends_of(about)))
    facts, words = facts_of(questions, reduced), words_of(questions)
    return Probes(rare, vectors, ends, facts, words, pages_of(some), tuple(about), tuple(some["id"]))


def compare(probes: Probes, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the nearest paraphrase, and the nearest with the same words, of each question of the sample that has one.

    rows: id, url, question. Columns: probe (its number), same (the words), id, alike (cosine).
    """
    found = [_compare(probes, rows.slice(start, _AT_A_TIME)) for start in range(0, len(rows), _AT_A_TIME)]
    return nearest(found)


def _compare(probes: Probes, rows: pl.DataFrame) -> pl.DataFrame:
    questions = asked(rows)
    reduced = reduce_questions(questions)
    about, facts, words, pages = reduced["about"], facts_of(questions, reduced), words_of(questions), pages_of(rows)
    alike = (probes.vectors @ weigh(count_pairs(about), probes.rare).T).tocoo()
    near = np.flatnonzero(alike.data >= ALIKE)
    one, two, cosine = alike.row[near], alike.col[near], alike.data[near]
    good = (probes.facts[one] == facts[two]) & (probes.pages[one] != pages[two])
    one, two, cosine = one[good], two[good], np.round(cosine[good], 6)
    same = probes.words[one] == words[two]
    ends = weigh(count_pairs(ends_of(about)), probes.rare)
    alike_ends = np.asarray(probes.ends[one].multiply(ends[two]).sum(axis=1)).ravel()
    texts = pl.DataFrame({"one": pl.Series(probes.about, dtype=pl.String).gather(one), "two": about.gather(two)})
    good = same | (alike_ends >= ALIKE) & (_said_instead(texts) <= INSTEAD)
    one, two, cosine, same = one[good], two[good], cosine[good], same[good]
    found = {"probe": one.astype(np.uint32), "same": same, "id": rows["id"].gather(two)}
    return pl.DataFrame({**found, "alike": cosine}, schema=pl.Schema(PAIRS))


def _said_instead(pairs: pl.DataFrame) -> np.ndarray:
    """Return how many letters one text has instead of the other's, as a share of the shorter one's. pairs: one, two."""
    letters = pairs.select(pl.all().str.replace_all(" ", "").str.split("").list.unique())
    one, two = pl.col("one"), pl.col("two")
    instead = pl.min_horizontal(one.list.set_difference(two).list.len(), two.list.set_difference(one).list.len())
    length = pl.min_horizontal(one.list.len(), two.list.len())
    shares: np.ndarray = letters.select(instead / pl.max_horizontal(length, 1)).to_series().to_numpy()
    return shares


PAIRS = pa.schema(
    [
        pa.field("probe", pa.uint32()),
        pa.field("same", pa.bool_()),
        pa.field("id", pa.string()),
        pa.field("alike", pa.float64()),
    ]
)


def nearest(several: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the nearest of each question of the sample, in the same words and in others; of equals the smaller id.

    several: tables of `compare`.
    """
    every = pl.concat([pl.DataFrame(schema=pl.Schema(PAIRS)), *several])
    ordered = every.sort("probe", "same", "alike", "id", descending=[False, False, True, False])
    return ordered.unique(["probe", "same"], keep="first", maintain_order=True)


# --- signatures --------------------------------------------------------------------------------------------------


def signatures(rows: pl.DataFrame) -> np.ndarray:
    """Return `BANDS` hashes (u64) of each row's question; 0 where it has none. Of questions with other facts none is
    alike.
    """
    questions = asked(rows)
    reduced = reduce_questions(questions)
    counts = count_pairs(reduced["about"])
    has = np.flatnonzero(np.diff(counts.indptr))
    found = np.zeros((len(rows), BANDS), np.uint64)
    if not len(has):
        return found
    facts = facts_of(questions, reduced)[has]
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
    """Write the sample as numbers, ids and the words that questions are about, in NumPy's own format."""
    both = (("", probes.vectors), ("end_", probes.ends))
    parts = {f"{which}{name}": getattr(one, name) for which, one in both for name in ("data", "indices", "indptr")}
    parts |= {name: getattr(probes, name) for name in ("rare", "facts", "words", "pages")}
    parts |= {name: np.array(getattr(probes, name), np.str_) for name in ("about", "ids")}
    write_arrays(lake, path, parts)


def read(lake: Lake, path: str) -> Probes:
    """Read the sample. Raises FileNotFoundError where there is none, UserError where an earlier version wrote it."""
    from scipy.sparse import csr_matrix

    kept = read_arrays(lake, path)
    if "about" not in kept:
        folder = path.rpartition("/")[0].rpartition("/")[0]
        raise UserError(f"{path} was written by an earlier version; remove {folder} and run the stage again")
    vectors, ends = (
        csr_matrix(
            tuple(kept[f"{which}{name}"] for name in ("data", "indices", "indptr")),
            shape=(len(kept["ids"]), 1 << BITS),
        )
        for which in ("", "end_")
    )
    facts, words, pages = (kept[name] for name in ("facts", "words", "pages"))
    about, ids = (tuple(kept[name].tolist()) for name in ("about", "ids"))
    return Probes(kept["rare"], vectors, ends, facts, words, pages, about, ids)
