"""Drop what is there twice: the same URL, the same text, nearly the same text (paper §3.2: by URL; the rest is ours).

What is compared is what `clean` left, without layout and courtesies (`compared`). Near-duplicates: MinHash over
character shingles finds candidates (`minhash`), the true Jaccard similarity decides; question and answer must both be
alike. Two texts that differ in a dose, a sign, a name, a negation or a side are variants and both stay (`variants`). Of
what is alike the adopted answer stays, then the longest, then the oldest, then the first by id, in whatever order and
parts the rows come; a row that leaves names the row that stays. The corpus is never held: letters wait in a temporary
file (`TMPDIR`), and some eighty bytes a row in memory.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby, pairwise
from typing import IO

import numpy as np
import polars as pl

from chimed.build.context import Work
from chimed.build.contract import CorpusStage
from chimed.build.corpus import LEFT, Parts, Verdicts
from chimed.build.figures import DedupFigures
from chimed.concurrency import map_ahead
from chimed.sources import names as source_names
from chimed.sources.page import TRACKING, load
from chimed.text.duplicates import facts, minhash, variants
from chimed.text.duplicates.around import trim
from chimed.text.duplicates.compared import compared_points, hash_facts
from chimed.text.duplicates.pairs import GAP, MIN_SIMILARITY, Comparison, Letters, Pair
from chimed.text.duplicates.shingles import distinct

LEAST = 20  # letters: below, five-character shingles say nothing
SAMPLES = 5  # variants of a kind that the report shows

SAME_URL, SAME_TEXT, NEAR = "same URL, older fetch", "same text", "nearly the same text"
_COLUMNS = ["id", "source", "url", "page", "fetched", "published", "adopted", "title", "text", "question", "answer"]
_ODD = np.uint64(0x9E3779B97F4A7C15)


def select_dropped(parts: Parts, work: Work) -> Verdicts:
    """Keeps one of each; the detail of a row that leaves is the id of the row it copies, and how alike they are."""
    with tempfile.TemporaryFile() as file:
        rows, texts = _read(parts, file)
        copies = same_url(rows)
        rest = by_preference(rows.join(copies, on="row", how="anti"))
        copies = pl.concat([copies, same_text(rest)])
        rest = rest.join(copies, on="row", how="anti", maintain_order="left").filter(pl.col("length") >= LEAST)
        near, spared, signed = nearly_same_text(rest, texts, work)
        copies = _of_what_stays(pl.concat([copies, near]))
    figures: DedupFigures = {
        "texts_compared": len(rest),
        "signatures_computed": signed,
        "signatures_known": len(rest) - signed,
        "pairs_spared": len(spared),
        "doubtful": _doubtful(spared, rest, parts),
    }
    return Verdicts(_named(copies, parts), figures)


def _read(parts: Parts, file: IO[bytes]) -> tuple[pl.DataFrame, Letters]:
    """What is compared of every row, and its letters.

    Columns: row; id (its number); url, page (hashes); fetched, published, adopted, rank (of the source); text (hash of
    the letters and signs), length (of them); tells (`digests`); named (hash of the herb or medicine a document's title
    names); document.
    """
    hosts = host_forms(source_names())
    frames, ends, lengths, end = [], [np.zeros(1, np.int64)], [np.zeros((0, 2), np.int64)], 0
    for frame, of_halves, points in map_ahead(lambda batch: _compared(batch, hosts), parts.read(_COLUMNS)):
        file.write(points.data)
        ends.append(end + np.cumsum(of_halves.sum(axis=1) + 2 * GAP))
        lengths.append(of_halves)
        frames.append(frame)
        end += len(points)
    file.flush()
    return pl.concat(frames), Letters(file, np.concatenate(ends), np.concatenate(lengths))


def _compared(batch: pl.DataFrame, hosts: dict[str, str]) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """What is compared of a batch's rows, the lengths of their halves, and the points of all."""
    bodies = batch.select(first=pl.coalesce("text", "question", pl.lit("")), second=pl.coalesce("answer", pl.lit("")))
    halves = pl.DataFrame([trim(half) for half in bodies])
    found = compared_points(halves.select(pl.concat_list("first", "second")).to_series().explode(), GAP)
    lengths = found.lengths.reshape(-1, 2)
    ends = np.cumsum(lengths.sum(axis=1) + 2 * GAP)
    data = found.points.data.cast("B")
    bounds = pairwise([0, *(4 * ends).tolist()])
    hashes = [hashlib.blake2b(data[start:end], digest_size=8).digest() for start, end in bounds]
    places = {name: n for n, name in enumerate(source_names())}
    compared = batch.select(
        "row",
        pl.col("id").str.to_integer(base=16, strict=False, dtype=pl.UInt64).fill_null(pl.col("id").hash(seed=0)),
        canonical(pl.col("url"), hosts).hash(seed=0).alias("url"),
        pl.col("page").hash(seed=0),
        pl.col("fetched").cast(pl.Int64) + 0,  # a copy: what is kept must not hold on to what was read
        pl.col("published").cast(pl.Int32) + 0,
        pl.col("adopted").fill_null(False),
        pl.col("source").replace_strict(places, default=len(places), return_dtype=pl.UInt8).alias("rank"),
        pl.Series("text", np.frombuffer(b"".join(hashes), np.uint64)),
        pl.Series("length", lengths.sum(axis=1).astype(np.uint32)),
        pl.Series("tells", hash_facts(found.points, ends)),
        _name_in(pl.when(pl.col("text").is_not_null()).then("title")).alias("named"),
        pl.col("text").is_not_null().alias("document"),
    )
    return compared, lengths, found.points


def _name_in(title: pl.Expr) -> pl.Expr:
    """A hash of the first herb, formula or medicine that a title names; null where it names none."""
    return title.str.extract_many(_listed(), leftmost=True).list.first().hash(seed=0)


@cache
def _listed() -> list[str]:
    return sorted(facts.listed_names(), key=lambda name: (-len(name), name))


def by_preference(rows: pl.DataFrame) -> pl.DataFrame:
    """Which of two equals stays: an adopted answer, the longest, the oldest; by source in the paper's order, by id."""
    return rows.sort(
        "adopted", "length", "published", "fetched", "rank", "id",
        descending=[True, True, False, False, False, False], nulls_last=True,
    )  # fmt: skip


def same_url(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a page that was fetched again later, changed or not: row, of (a row that stays), reason, alike."""
    newest = rows.sort("fetched", "page", "id", descending=[True, False, False]).unique(
        "url", keep="first", maintain_order=True
    )
    joined = rows.join(newest.select("url", newest="page", of="row"), on="url", maintain_order="left")
    older = joined.filter(pl.col("page") != pl.col("newest"))
    return older.select("row", "of", reason=pl.lit(SAME_URL), alike=pl.lit(None, pl.Float64))


def same_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose letters and signs are those of a row before them, and whose title names no other herb or medicine.

    Columns: row, of, reason, alike.
    """
    marked = rows.with_columns(of=pl.col("row").first().over("text", "named"))
    copies = marked.filter((pl.col("row") != pl.col("of")) & (pl.col("length") > 0))
    return copies.select("row", "of", reason=pl.lit(SAME_TEXT), alike=pl.lit(None, pl.Float64))


def nearly_same_text(rows: pl.DataFrame, texts: Letters, work: Work) -> tuple[pl.DataFrame, list[Pair], int]:
    """Rows alike to one before them that stays (row, of, reason, alike), the variants, and the new signatures' number.

    Variants: pairs of rows that look alike and both stay; places among `rows`.
    """
    numbers, lengths, tells = (rows[name].to_numpy() for name in ("row", "length", "tells"))
    compare = Comparison(texts, numbers, rows["named"].fill_null(0).to_numpy())
    signed, band = minhash.sign(
        work.lake, work.build, rows["text"].to_numpy(), lengths, lambda places: texts.read(numbers[places])
    )
    pairs = np.empty(0, np.uint64)
    for n in range(minhash.BANDS):
        keys = band(n)  # among many variants of one text a copy meets the text it copies by what both tell
        pairs = distinct(np.concatenate([pairs, minhash.alike(keys), minhash.alike(keys ^ (tells * _ODD))]))
    copies: dict[int, tuple[int, float]] = {}
    spared: list[Pair] = []
    groups = _looking_alike(pairs, lengths, compare)
    for two, several in compare.ahead(groups, len(pairs), copies):  # by `two`: what stands before it is settled by then
        seen: set[int] = set()
        found: list[Pair] = []
        for one, alike in several:
            stays = copies[one][0] if one in copies else one
            if stays in seen:
                continue
            seen.add(stays)
            if stays != one:
                alike = compare.alike_each(stays, two)
            if alike < MIN_SIMILARITY:
                continue
            differs = compare.difference(stays, two)
            if not differs:
                copies[two] = (stays, alike)
                break
            found.append(Pair(stays, two, alike, *differs))
        else:
            spared += found
    copied = list(copies.items())
    frame = pl.DataFrame(
        {
            "row": numbers[[two for two, _ in copied]],
            "of": numbers[[one for _, (one, _) in copied]],
            "reason": pl.Series([NEAR] * len(copied), dtype=pl.String),
            "alike": pl.Series([alike for _, (_, alike) in copied], dtype=pl.Float64),
        }
    )
    return frame, spared, signed


def _looking_alike(
    pairs: np.ndarray, lengths: np.ndarray, compare: Comparison
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Of each second of the pairs (`minhash.alike`), in order: the firsts that look alike to it, the likest first."""
    one, two = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(2**32 - 1)).astype(np.int64)
    order = np.lexsort((one, two))
    one, two = one[order], two[order]
    runs = minhash.runs(lengths[one] + lengths[two])
    found = map_ahead(lambda run: compare.alike(one[run.start : run.stop], two[run.start : run.stop]), runs)
    alike = np.concatenate([np.empty(0), *found])
    wanted = alike >= MIN_SIMILARITY
    one, two, alike = one[wanted], two[wanted], alike[wanted]
    order = np.lexsort((one, -alike, two))
    several = zip(two[order].tolist(), one[order].tolist(), alike[order].tolist(), strict=True)
    for second, group in groupby(several, key=lambda pair: pair[0]):
        yield second, [(first, how) for _, first, how in group]


def _of_what_stays(copies: pl.DataFrame) -> pl.DataFrame:
    """The copies; where the row one copies left too, as a copy of what that one copies."""
    while (further := copies.join(copies.select(of="row", then="of"), on="of", how="inner")).height:
        copies = copies.join(further.select("row", "then"), on="row", how="left", maintain_order="left")
        copies = copies.with_columns(of=pl.coalesce("then", "of")).drop("then")
    return copies


def _named(copies: pl.DataFrame, parts: Parts) -> pl.DataFrame:
    """Verdicts (`LEFT`) with the ids of the rows that are copied."""
    named = copies.join(_ids(copies["of"], parts), left_on="of", right_on="row", how="left", maintain_order="left")
    alike = pl.format(" {}", pl.col("alike").round(2)).fill_null("")
    return named.select("row", fate=pl.lit("dropped"), reason="reason", detail=pl.concat_str("id", alike)).select(
        LEFT.names()
    )


def _ids(rows: pl.Series, parts: Parts) -> pl.DataFrame:
    """The ids of rows: row, id."""
    wanted = rows.unique().alias("row").to_frame()
    return pl.concat([batch.join(wanted, on="row", how="semi").select("row", "id") for batch in parts.read(["id"])])


def _doubtful(spared: list[Pair], rows: pl.DataFrame, parts: Parts) -> dict[str, dict]:
    """How many pairs were spared by what makes them variants, and some of them: what stays of both, side by side."""
    counts = Counter(pair.differs.kind for pair in spared)
    shown: dict[str, list[Pair]] = {kind: [] for kind in variants.KINDS if counts[kind]}
    for pair in spared:
        if len(shown[pair.differs.kind]) < SAMPLES:
            shown[pair.differs.kind].append(pair)
    places = [place for several in shown.values() for pair in several for place in (pair.one, pair.two)]
    numbers = rows["row"].gather(places)
    ids = dict(_ids(numbers, parts).iter_rows())
    id_of = {place: ids[number] for place, number in zip(places, numbers, strict=True)}
    document = rows["document"].gather(places)
    columns = {place: ("text" if text else "question", "answer") for place, text in zip(places, document, strict=True)}
    return {
        f"variants, another {kind}": {
            "rows": counts[kind],
            "samples": [
                {
                    "id": id_of[pair.two],
                    "column": columns[pair.two][pair.half],
                    "before": pair.differs.one,
                    "after": pair.differs.two,
                    "why": f"alike {pair.alike:.2f} to {id_of[pair.one]}, but another {kind}: both stay",
                }
                for pair in several
            ],
        }
        for kind, several in shown.items()
    }


# --- addresses ---------------------------------------------------------------------------------------------------


def host_forms(sources: Iterable[str]) -> dict[str, str]:
    """Other names of the sites' hosts, as the sites' files say, and the name that stands for all of them."""
    forms = {}
    for site in map(load, sources):
        for host in site.hosts:
            forms[host.removeprefix("www.")] = host
        forms |= dict.fromkeys(site.twins, site.hosts[0])
    return forms


def canonical(url: pl.Expr, hosts: dict[str, str]) -> pl.Expr:
    """The one form of a URL that is compared by: no scheme, port, fragment, tracking, trailing slash; query sorted."""
    bare = url.str.strip_chars().str.replace(r"#.*$", "").str.replace(r"(?i)^https?://", "")
    host = bare.str.extract(r"^([^/?]*)").str.to_lowercase().str.replace(r":(80|443)$", "").replace(hosts)
    path = bare.str.extract(r"^[^/?]*(/[^?]*)").fill_null("").str.replace_all(r"/{2,}", "/")
    path = path.str.replace(r"/index\.html?$", "/").str.strip_chars_end("/")
    tracking = rf"^(utm_\w+|{'|'.join(TRACKING)})(=|$)"
    wanted = pl.element().filter(~pl.element().str.contains(tracking) & (pl.element() != "")).sort()
    query = bare.str.extract(r"\?(.*)$").str.split("&").list.eval(wanted).list.join("&")
    return pl.concat_str(
        host, path, pl.when(query.str.len_chars() > 0).then(pl.format("?{}", query)).otherwise(pl.lit(""))
    )


STAGE = CorpusStage(select_dropped)
