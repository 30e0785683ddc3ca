"""Drop what is there twice: the same URL, the same text, nearly the same text (paper §3.2: by URL; the rest is ours).

Near-duplicates: MinHash over character shingles finds candidates (`minhash`), the true Jaccard similarity decides. A
question with another answer is no copy: question and answer must both be alike. Of what is alike the adopted answer
stays, then the longest, then the oldest; a row that leaves names the row that stays. The corpus is never held: letters
wait in a temporary file (`TMPDIR`), and some sixty bytes a row in memory.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

import numpy as np
import polars as pl

from chimed.build import Work
from chimed.sources import NAMES
from chimed.sources.page import TRACKING, load
from chimed.stages import minhash
from chimed.stages.shingles import distinct, jaccards, letters, shingles_of
from chimed.streaming import LEFT, Parts, Verdicts, ahead

SIMILAR = 0.8  # Jaccard similarity from which two texts are one (FineWeb, MinHash at 0.75 to 0.8)
LEAST = 20  # letters: below, five-character shingles say nothing

SAME_URL, SAME_TEXT, NEAR = "same URL, older fetch", "same text", "nearly the same text"
_BEHIND = "\0" * (minhash.SHINGLE - 1)
_ORDER = {name: n for n, name in enumerate(NAMES)}
_COLUMNS = ["id", "source", "url", "page", "fetched", "published", "adopted", "text", "question", "answer"]


@dataclass(frozen=True)
class Letters:
    """The letters of every row's two halves (text, or question and answer) in a file, each with `_BEHIND` behind it.

    ends: where each row begins, and the last ends. lengths: the letters of each half (two columns).
    """

    file: IO[bytes]
    ends: np.ndarray
    lengths: np.ndarray

    def read(self, rows: np.ndarray) -> tuple[str, np.ndarray]:
        """The halves of some rows as `shingles_of` takes them: one string, and their lengths."""
        file, starts = self.file.fileno(), self.ends[rows]
        sizes = self.ends[rows + 1] - starts
        found = [os.pread(file, size, start) for size, start in zip(sizes.tolist(), starts.tolist(), strict=True)]
        return b"".join(found).decode(), self.lengths[rows].ravel().astype(np.int64)


def judge(parts: Parts, work: Work) -> Verdicts:
    """Keeps one of each; the detail of a row that leaves is the id of the row it copies, and how alike they are."""
    with tempfile.TemporaryFile() as file:
        rows, texts = _read(parts, file)
        copies = same_url(rows)
        rest = by_preference(rows.join(copies, on="row", how="anti"))
        copies = pl.concat([copies, same_text(rest)])
        rest = rest.join(copies, on="row", how="anti", maintain_order="left").filter(pl.col("length") >= LEAST)
        near, signed = nearly_same_text(rest, texts, work)
        copies = _of_what_stays(pl.concat([copies, near]))
    figures = {"texts compared": len(rest), "signatures computed": signed, "signatures known": len(rest) - signed}
    return Verdicts(_named(copies, parts), figures)


def _read(parts: Parts, file: IO[bytes]) -> tuple[pl.DataFrame, Letters]:
    """What is compared of every row, and its letters.

    Columns: row; url, page (hashes); fetched, published, adopted, rank (of the source); text (hash of the letters),
    length (of the letters).
    """
    hosts = host_forms(NAMES)
    frames, starts, lengths, end = [], [np.zeros(1, np.int64)], [], 0
    for frame, of_halves, ends, text in ahead(lambda batch: _compared(batch, hosts), parts.read(_COLUMNS)):
        file.write(text)
        starts.append(end + ends)
        lengths.append(of_halves)
        frames.append(frame)
        end += len(text)
    file.flush()
    return pl.concat(frames), Letters(file, np.concatenate(starts), np.concatenate(lengths))


def _compared(batch: pl.DataFrame, hosts: dict[str, str]) -> tuple[pl.DataFrame, np.ndarray, np.ndarray, memoryview]:
    """What is compared of a batch's rows, the lengths of their halves, where each row's letters end, the letters."""
    bodies = batch.select(first=pl.coalesce("text", "question", pl.lit("")), second=pl.coalesce("answer", pl.lit("")))
    halves = pl.DataFrame([letters(half) for half in bodies])
    lengths = halves.select(pl.all().str.len_chars())
    padded = halves.select(pl.concat_str("first", pl.lit(_BEHIND), "second", pl.lit(_BEHIND))).to_series()
    _, bounds, data = padded.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    ends = np.frombuffer(bounds, np.int64)
    text = memoryview(data)[ends[0] : ends[-1]] if len(batch) else memoryview(b"")
    ends = ends[: len(batch) + 1] - ends[0]
    hashes = [hashlib.blake2b(text[start:end], digest_size=8).digest() for start, end in pairwise(ends.tolist())]
    compared = batch.select(
        "row",
        canonical(pl.col("url"), hosts).hash(seed=0).alias("url"),
        pl.col("page").hash(seed=0),
        pl.col("fetched").cast(pl.Int64) + 0,  # a copy: what is kept must not hold on to what was read
        pl.col("published").cast(pl.Int32) + 0,
        pl.col("adopted").fill_null(False),
        pl.col("source").replace_strict(_ORDER, default=len(_ORDER), return_dtype=pl.UInt8).alias("rank"),
        pl.Series("text", np.frombuffer(b"".join(hashes), np.uint64)),
        lengths.sum_horizontal().alias("length"),
    )
    return compared, lengths.to_numpy(), ends[1:], text


def by_preference(rows: pl.DataFrame) -> pl.DataFrame:
    """Which of two equals stays: an adopted answer, the longest, the oldest; then by source in the paper's order."""
    return rows.sort(
        "adopted", "length", "published", "fetched", "rank", "row",
        descending=[True, True, False, False, False, False], nulls_last=True,
    )  # fmt: skip


def same_url(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a page that was fetched again later, changed or not: row, of (a row that stays), reason, alike."""
    newest = rows.sort("fetched", "page", "row", descending=[True, False, False]).unique(
        "url", keep="first", maintain_order=True
    )
    joined = rows.join(newest.select("url", newest="page", of="row"), on="url", maintain_order="left")
    older = joined.filter(pl.col("page") != pl.col("newest"))
    return older.select("row", "of", reason=pl.lit(SAME_URL), alike=pl.lit(None, pl.Float64))


def same_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose letters are those of a row before them: row, of, reason, alike."""
    marked = rows.with_columns(of=pl.col("row").first().over("text"))
    copies = marked.filter((pl.col("row") != pl.col("of")) & (pl.col("length") > 0))
    return copies.select("row", "of", reason=pl.lit(SAME_TEXT), alike=pl.lit(None, pl.Float64))


def nearly_same_text(rows: pl.DataFrame, texts: Letters, work: Work) -> tuple[pl.DataFrame, int]:
    """Rows alike to one before them that stays (row, of, reason, alike), and how many signatures were computed."""
    numbers, lengths = rows["row"].to_numpy(), rows["length"].to_numpy()
    signed, band = minhash.sign(
        work.lake, work.build, rows["text"].to_numpy(), lengths, lambda places: texts.read(numbers[places])
    )
    pairs = np.empty(0, np.uint64)
    for n in range(minhash.BANDS):
        pairs = distinct(np.concatenate([pairs, minhash.alike(band(n))]))
    found = list(_verified(pairs, numbers, lengths, texts))
    copies: dict[int, tuple[int, float]] = {}
    for one, two, alike in found:  # in the order of `two`: whether `one` stays is known by then
        stays = copies[one][0] if one in copies else one
        if stays != one:
            alike = float(_both_alike(*texts.read(numbers[[stays, two]]), np.array([0]), np.array([1]))[0])
        if alike >= SIMILAR and alike > copies.get(two, (0, 0.0))[1]:
            copies[two] = (stays, alike)
    copied = list(copies.items())
    return pl.DataFrame(
        {
            "row": numbers[[two for two, _ in copied]],
            "of": numbers[[one for _, (one, _) in copied]],
            "reason": pl.Series([NEAR] * len(copied), dtype=pl.String),
            "alike": pl.Series([alike for _, (_, alike) in copied], dtype=pl.Float64),
        }
    ), signed


def _verified(
    pairs: np.ndarray, numbers: np.ndarray, lengths: np.ndarray, texts: Letters
) -> Iterator[tuple[int, int, float]]:
    """Those of the pairs whose texts are alike, with how much: by the second, then by the first."""
    one, two = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(2**32 - 1)).astype(np.int64)
    order = np.lexsort((one, two))
    one, two = one[order], two[order]
    for run in minhash.runs(lengths[one] + lengths[two]):
        places, back = np.unique(
            np.concatenate([one[run.start : run.stop], two[run.start : run.stop]]), return_inverse=True
        )
        alike = _both_alike(*texts.read(numbers[places]), back[: len(run)], back[len(run) :])
        for place in np.flatnonzero(alike >= SIMILAR):
            yield int(one[run.start + place]), int(two[run.start + place]), float(alike[place])


def _both_alike(padded: str, lengths: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The smaller of the similarities of the first and of the second halves."""
    sides = (np.concatenate([2 * side, 2 * side + 1]) for side in (one, two))
    alike = jaccards(*shingles_of(padded, lengths, minhash.SHINGLE), *sides)
    return np.minimum(alike[: len(one)], alike[len(one) :])


def _of_what_stays(copies: pl.DataFrame) -> pl.DataFrame:
    """The copies; where the row one copies left too, as a copy of what that one copies."""
    while (further := copies.join(copies.select(of="row", then="of"), on="of", how="inner")).height:
        copies = copies.join(further.select("row", "then"), on="row", how="left", maintain_order="left")
        copies = copies.with_columns(of=pl.coalesce("then", "of")).drop("then")
    return copies


def _named(copies: pl.DataFrame, parts: Parts) -> pl.DataFrame:
    """Verdicts (`LEFT`) with the ids of the rows that are copied."""
    wanted = copies.select(row="of").unique()
    ids = [batch.join(wanted, on="row", how="semi").select(of="row", id="id") for batch in parts.read(["id"])]
    named = copies.join(pl.concat(ids), on="of", how="left", maintain_order="left")
    alike = pl.format(" {}", pl.col("alike").round(2)).fill_null("")
    return named.select("row", fate=pl.lit("dropped"), reason="reason", detail=pl.concat_str("id", alike)).select(
        LEFT.names()
    )


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
