"""A graph beside the text: natures of herbs, herbs of formulas, and the row that states each. Ours.

    graph/entities.parquet    herbs, formulas, natures, flavours, channels, effects, ailments
    graph/relations.parquet   subject, relation, object or words, and where a row of `pretrain` states it

It is made of a release's pretrain rows alone (`chimed.text.graph`), so a patch without a page has a graph without it.
Names of one herb are one entity where that is safe, and preparations are conditions (`chimed.text.graph.names`).
Entries may contradict each other: both statements are kept, and marked as disputed.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed.release.tables import files_in, read_batches
from chimed.storage.lake import Lake
from chimed.text.graph.facts import Entry, read_entry
from chimed.text.graph.names import settle_names

ENTITIES_FILE, RELATIONS_FILE = "graph/entities.parquet", "graph/relations.parquet"
ENTITIES = pa.schema(
    [
        pa.field("id", pa.string(), False),  # <kind>:<name>
        pa.field("kind", pa.string(), False),  # herb, formula, nature, flavour, channel, toxicity, effect, ailment
        pa.field("name", pa.string(), False),
        pa.field(
            "other_names", pa.list_(pa.string()), False
        ),  # as its entries give them, and what it is called elsewhere
        pa.field("rows", pa.list_(pa.string()), False),  # ids of the pretrain rows that are its entries; often none
    ]
)
RELATIONS = pa.schema(
    [
        pa.field("subject", pa.string(), False),  # id of an entity
        pa.field("relation", pa.string(), False),
        pa.field("object", pa.string()),  # id of an entity; null where `value` says all
        pa.field("value", pa.string()),  # words of the text: a dose, a taboo
        pa.field("condition", pa.string()),  # when it holds, or how a herb is prepared
        pa.field("disputed", pa.bool_(), False),  # whether another row states another nature or toxicity
        pa.field("row", pa.string(), False),  # id of the pretrain row that states it
        pa.field("start", pa.int32(), False),  # the characters of that row's text
        pa.field("end", pa.int32(), False),
        pa.field("source", pa.string(), False),
    ]
)
ONE_EACH = ("has_nature", "has_toxicity")  # what a herb has one of, so that two different ones contradict each other
_COLUMNS = ["id", "source", "title", "text", "made_by"]


@dataclass(frozen=True)
class Graph:
    """The two tables: entities (columns of `ENTITIES`) by id, and relations (`RELATIONS`) by subject."""

    entities: pl.DataFrame
    relations: pl.DataFrame

    def files(self) -> dict[str, bytes]:
        """Return the graph's files; none where no row states anything."""
        if not len(self.relations):
            return {}
        return {
            ENTITIES_FILE: _parquet(self.entities, ENTITIES),
            RELATIONS_FILE: _parquet(self.relations, RELATIONS),
        }

    def numbers(self) -> dict[str, Any]:
        """Count what the card tells: entities by kind, relations by name, and the disputed ones."""
        return {
            "entities": _counts(self.entities, "kind"),
            "relations": _counts(self.relations, "relation"),
            "disputed": int(self.relations["disputed"].sum()),
        }


def graph_of(lake: Lake, folder: str) -> Graph:
    """Read the graph that the pretrain rows of a release's folder state, both splits, a batch at a time."""
    paths = [
        path for table, several in files_in(lake, folder).items() if table.startswith("pretrain/") for path in several
    ]
    return build_graph(batch for path in paths for batch in read_batches(lake, path, "pretrain", _COLUMNS))


def build_graph(batches: Iterable[pl.DataFrame]) -> Graph:
    """Build the graph of rows with the columns id, source, title, text and made_by.

    What a model made of a row is no statement of its source and is left out.
    """
    relations, entries = [_table([], RELATIONS)], [_table([], _ENTRIES)]
    for batch in batches:
        found = list(_entries(batch))
        relations.append(_table([row for entry in found for row in _relations(*entry)], RELATIONS))
        entries.append(_table([_entry(*entry) for entry in found], _ENTRIES))
    told = pl.concat(entries)
    names = _settled(told, pl.concat(relations))
    stated = _under_one_name(pl.concat(relations), names)
    return Graph(_entities(_entries_under_one_name(told, names), stated, names), _mark_disputed(stated))


def _settled(entries: pl.DataFrame, relations: pl.DataFrame) -> pl.DataFrame:
    """Return the ids that are another entity's: id, entity (the id that it gets) and how (a preparation, or null)."""
    told = entries.with_columns(
        kind=pl.col("id").str.split_exact(":", 1).struct[0], name=pl.col("id").str.splitn(":", 2).struct[1]
    )
    settled = settle_names(told.select("kind", "name", "other_names").iter_rows())
    found = []
    for id in pl.concat([relations["subject"], relations["object"].drop_nulls()]).unique().sort():
        kind, _, name = id.partition(":")
        entity, how = settled(kind, name)
        if (entity, how) != (name, None):
            found.append((id, f"{kind}:{entity}", how))
    return pl.DataFrame(found, schema=dict.fromkeys(("id", "entity", "how"), pl.String), orient="row")


def _under_one_name(relations: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return relations with the ids of the entities; a preparation in a name is part of the condition."""
    for column in ("subject", "object"):
        joined = relations.join(names, left_on=column, right_on="id", how="left", maintain_order="left")
        relations = joined.with_columns(
            pl.coalesce("entity", column).alias(column),
            condition=pl.concat_str("how", "condition", separator="，", ignore_nulls=True).replace("", None),
        ).drop("entity", "how")
    return relations.filter(pl.col("subject") != pl.col("object").fill_null(""))


def _entries_under_one_name(entries: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    joined = entries.join(names, on="id", how="left", maintain_order="left")
    return joined.with_columns(id=pl.coalesce("entity", "id")).select(entries.columns)


def _entries(batch: pl.DataFrame) -> Iterator[tuple[dict[str, Any], Entry]]:
    labelled = batch.filter(pl.col("text").str.contains("【", literal=True) & pl.col("made_by").is_null())
    for row in labelled.to_dicts():
        if entry := read_entry(row["title"], row["text"]):
            yield row, entry


def _relations(row: dict[str, Any], entry: Entry) -> Iterator[dict[str, Any]]:
    for fact in entry.facts:
        yield {
            "subject": f"{entry.kind}:{entry.name}",
            "relation": fact.relation,
            "object": fact.object and f"{fact.kind}:{fact.object}",
            "value": fact.value,
            "condition": fact.condition,
            "disputed": False,
            "row": row["id"],
            "start": fact.start,
            "end": fact.end,
            "source": row["source"],
        }


_ENTRIES = pa.schema([*(ENTITIES.field(name) for name in ("id", "other_names")), pa.field("row", pa.string())])


def _entry(row: dict[str, Any], entry: Entry) -> dict[str, Any]:
    others = [fact.value for fact in entry.facts if fact.relation == "also_called"]
    return {"id": f"{entry.kind}:{entry.name}", "other_names": others, "row": row["id"]}


def _entities(entries: pl.DataFrame, stated: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return everything that is a subject or an object, with the entries and all names of those that have some."""
    elsewhere = names.filter(pl.col("how").is_null()).select(
        id="entity", other_names=pl.concat_list(pl.col("id").str.splitn(":", 2).struct[1]), row=pl.lit(None, pl.String)
    )
    entries = pl.concat([entries, elsewhere])
    named = pl.concat([stated["subject"], stated["object"].drop_nulls()]).unique().sort().rename("id").to_frame()
    told = entries.group_by("id").agg(
        pl.col("other_names").explode().drop_nulls().unique().sort(), rows=pl.col("row").drop_nulls().unique().sort()
    )
    none = pl.lit([], pl.List(pl.String))
    both = named.join(told, on="id", how="left", maintain_order="left").with_columns(
        pl.col("other_names", "rows").fill_null(none),
        kind=pl.col("id").str.split_exact(":", 1).struct[0],
        name=pl.col("id").str.splitn(":", 2).struct[1],
    )
    return both.select(ENTITIES.names)


def _mark_disputed(stated: pl.DataFrame) -> pl.DataFrame:
    """Mark what another row contradicts; order by subject, then by row and place."""
    plain = pl.col("condition").is_null() & pl.col("relation").is_in(ONE_EACH)
    said = pl.when(plain).then(pl.col("object"))
    differ = plain & (said.drop_nulls().n_unique().over("subject", "relation") > 1)
    keys = ["subject", "row", "start", "end", "relation", "object", "value"]
    return stated.with_columns(disputed=differ).sort(keys)


def _counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(table[column].value_counts().sort(column).iter_rows())


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=pl.Schema(schema))


def _parquet(table: pl.DataFrame, schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table.to_arrow().cast(schema).combine_chunks(), sink, compression="zstd")
    return sink.getvalue()
