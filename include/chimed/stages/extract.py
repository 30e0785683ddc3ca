"""Read crawled pages into records: every page gives records or is counted with the reason why not (paper §3.1).

Pages are parsed once for all builds, in `chimed.extraction.crawl_records`. Here a build takes its shard of the records,
without those taken down or gone from their site, and applies its options.
"""

from collections import Counter

import polars as pl

from chimed import turns
from chimed.build.builds import read_build
from chimed.build.context import StageContext
from chimed.build.contract import PageStage
from chimed.build.figures import TurnFigures
from chimed.build.inputs import parse_piece
from chimed.build.ledger import Outcome
from chimed.extraction import crawl_records
from chimed.extraction.crawl_records import dropped_pages, extract_crawl, read_parts
from chimed.extraction.same_words import find_taken_down
from chimed.reasons import DUPLICATE_ROW, GONE, OVER_LIMIT, TAKEN_DOWN, UNCHANGED
from chimed.schema import DROPPED, RECORD_COLUMNS, dropped_table, keyed_hash, record_id
from chimed.sources.follow_ups import MAX_TURNS
from chimed.storage.store import secret
from chimed.storage.takedowns import is_gone_for_good, read_takedowns

CORPUS = "corpus:"  # begins the address of a corpus's row
OTHER_ANSWER = "another answer of its question was taken"


def read_pages(work: StageContext, shard: int) -> tuple[pl.DataFrame, Outcome]:
    """Return the pages of a build's shard (columns id, source) and what became of them.

    Outcome: kept are the pages that gave records, dropped the others, derived the records. An unchanged page that
    several crawls of the shard fetched gives its records once, from the latest fetch. Pages that were taken down give
    none.
    """
    made = read_build(work.lake, work.build)
    found, missed = [pl.DataFrame(schema=RECORD_COLUMNS)], [dropped_table([])]
    ended: Counter[str] = Counter()
    for one in map(parse_piece, made["shards"][shard]):
        report = extract_crawl(work.lake, one.source, one.crawl, one.share, work.store)
        work.say(f"extract {one.source}/{one.crawl}: {report['pages']} pages, {report['records']} records")
        ended += crawl_records.count_ended(report, one.share)
        for kept, left in read_parts(work.lake, report, one.share):
            found.append(kept)
            missed.append(left)
    every, dropped = pl.concat(found), pl.concat(missed)

    again = every.filter(find_taken_down(work.store, every))["page"]  # the same text was found at another address
    allowed = every.filter(~read_takedowns(work.store).rows() & ~pl.col("page").is_in(again.implode()))
    dropped = pl.concat([dropped, dropped_pages(every, allowed, TAKEN_DOWN)])
    standing = allowed if work.options.keep_gone else allowed.filter(~is_gone_for_good(work.store))
    dropped = pl.concat([dropped, dropped_pages(allowed, standing, GONE)])
    standing, figures = choose_turns(standing, work.options.turns, secret(work.store))
    if ended and work.options.turns == "all":
        figures["ended"] = dict(sorted(ended.items()))
    latest = standing.sort("fetched", "page").unique("id", keep="last", maintain_order=True)
    repeated = dropped_pages(standing, latest, UNCHANGED)
    of_corpora = pl.col("url").str.starts_with(CORPUS)
    dropped = pl.concat(
        [dropped, repeated.with_columns(reason=pl.when(of_corpora).then(pl.lit(DUPLICATE_ROW)).otherwise("reason"))]
    )
    chosen, others = _answers(latest, work.options.answers)
    cut, over = _cut(chosen, work.options.max_records, made["shards"], shard)
    dropped = pl.concat([dropped, dropped_pages(latest, cut, OVER_LIMIT)])
    kept_pages = cut.select(id="page", source="source").unique(maintain_order=True)
    over = pl.concat([over.with_columns(reason=pl.lit(OVER_LIMIT)), others.with_columns(reason=pl.lit(OTHER_ANSWER))])
    over = over.filter(pl.col("page").is_in(kept_pages["id"].implode()))
    over = over.with_columns(fate=pl.lit("dropped"), detail=pl.lit(None, pl.String))
    pages = pl.concat([kept_pages, dropped.select("id", "source")])
    outcome = Outcome(
        kept=kept_pages, dropped=dropped, derived=cut, derived_dropped=over.select(DROPPED.names), figures=figures
    )
    return pages, outcome


def raw_inputs(work: StageContext, shard: int) -> dict[str, str | None]:
    """Return the crawled files that a shard was read from, with their hashes (`chimed.storage.contents`)."""
    pieces = map(parse_piece, read_build(work.lake, work.build)["shards"][shard])
    return {
        path: digest
        for one in pieces
        for path, digest in crawl_records.raw_inputs(
            work.lake, extract_crawl(work.lake, one.source, one.crawl, one.share, work.store), one.share
        ).items()
    }


def choose_turns(found: pl.DataFrame, rule: str, key: bytes) -> tuple[pl.DataFrame, TurnFigures]:
    """Return records with the turns that a build uses, and their figures.

    all: every turn up to the doctor's last; a question that nobody answered is left out. first: none, so a record has
    the words and the id that it had before there were turns. key: the store's (`store.secret`), for ids of corpus rows.
    """
    unanswered = turns.count_unanswered(found) if rule == "all" else 0
    cut = int((found["turns"].list.len() >= MAX_TURNS).sum()) if rule == "all" else 0
    kept = turns.end_with_answer(pl.col("turns")) if rule == "all" else pl.lit(None, found.schema["turns"])
    lengths = found["turns"].list.len().fill_null(0)
    chosen = found.with_columns(kept.alias("turns"))
    now = chosen["turns"].list.len().fill_null(0)
    changed = (lengths != now).arg_true()
    if len(changed):
        rows = ((row["url"].startswith(CORPUS), record_id(row)) for row in chosen[changed].to_dicts())
        ids = pl.Series([keyed_hash(key, id) if of_corpus else id for of_corpus, id in rows], dtype=pl.String)
        chosen = chosen.with_columns(chosen["id"].clone().scatter(changed, ids))
    return chosen, {
        "conversations": int((now > 0).sum()),
        "turns": int(now.sum()),
        "unanswered": unanswered,
        "cut": cut,
    }


def _answers(found: pl.DataFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split records into those whose answers become pairs, and the rest.

    every: each answer of a question is a pair of its own. best: one for each question, the accepted answer if there is
    one, else the first on the page.
    """
    if rule == "every" or not len(found):
        return found, found.clear()
    place = pl.int_range(pl.len()) - pl.col("adopted").fill_null(False).cast(pl.Int64) * pl.len()
    first = (place == place.min()).over("page", "question") | (pl.col("kind") != "qa")
    marked = found.with_columns(first=first)
    return marked.filter("first").drop("first"), marked.filter(~pl.col("first")).drop("first")


def _cut(
    found: pl.DataFrame, most: int | None, shards: list[list[str]], shard: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split records into the first of each source, and the rest.

    `most` is divided among the shards that hold the source.
    """
    if most is None or not len(found):
        return found, found.clear()
    share = {}
    for source in found["source"].unique():
        holders = [n for n, entries in enumerate(shards) if any(entry.startswith(f"{source}/") for entry in entries)]
        share[source] = most // len(holders) + (holders.index(shard) < most % len(holders))
    allowed = pl.col("source").replace_strict(share, return_dtype=pl.Int64)
    within = pl.int_range(pl.len()).over("source") < allowed
    ordered = found.sort("page", "id").with_columns(within=within)
    return ordered.filter("within").drop("within"), ordered.filter(~pl.col("within")).drop("within")


STAGE = PageStage(read_pages, raw_inputs)
