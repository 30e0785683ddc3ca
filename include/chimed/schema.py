"""Define a record: one table schema from the first page to the release (the paper's documents, QA pairs, preferences).

Every stage's table has these columns; dropped rows have three more (`DROPPED`). No asker's name, id, place or picture
and no doctor's name ever enters a record.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Collection
from typing import Any

import polars as pl
import pyarrow as pa

_SPAN = pa.struct([pa.field("start", pa.int32(), False), pa.field("end", pa.int32(), False)])
_OTHER = pa.struct(
    [
        *(pa.field(name, pa.string(), False) for name in ("id", "url", "source", "page")),
        pa.field("evidence", pa.list_(_SPAN)),
    ]
)
_TURN = pa.struct([pa.field("role", pa.string(), False), pa.field("text", pa.string(), False)])

# The rating of a row, in whole and by criterion.
QUALITY_NAMES = ("quality", "factual", "answers", "safe", "fluent", "teaches")
QUALITY = ("quality", *(f"quality_{name}" for name in QUALITY_NAMES[1:]))
# The judge's rating of one answer of a preference, by the same criteria.
SCORES = pa.struct([pa.field(name, pa.float64()) for name in QUALITY_NAMES])

RECORD = pa.schema(
    [
        # content hash: the same text of the same page has the same id in every build; of a corpus's row keyed with
        # the store's secret, for its words may be in nobody else's hands
        pa.field("id", pa.string(), False),
        # the site: zydcd, zhongyoo, cnkang, ask39, ask120; or a corpus's name
        pa.field("source", pa.string(), False),
        # tcm (the paper's Trad) or general (Gen)
        pa.field("domain", pa.string(), False),
        # document, qa, preference or reasoning
        pa.field("kind", pa.string(), False),
        # zh (modern Chinese) or lzh (classical)
        pa.field("language", pa.string(), False),
        # canonical URL of the page it comes from; of a corpus's row corpus:<name>/<keyed hash of its words>
        pa.field("url", pa.string(), False),
        pa.field("title", pa.string()),
        # a document's body; null for the other kinds
        pa.field("text", pa.string()),
        # the question of a qa, preference or reasoning
        pa.field("question", pa.string()),
        # the answer of a qa or reasoning, the chosen answer of a preference
        pa.field("answer", pa.string()),
        # of a crawled answer: whether the asker or the site chose it; null for every other record
        pa.field("adopted", pa.bool_()),
        # the rejected answer of a preference
        pa.field("rejected", pa.string()),
        # what was thought before the answer of a reasoning; null of every other record, and in a table that was written
        # before there was this column
        pa.field("reasoning", pa.string()),
        # of a preference, by how much the chosen answer is better: the difference of the shares of comparisons won;
        # null of a spoilt answer, of other records, and in a table that was written before there was this column
        pa.field("preference_margin", pa.float64()),
        # of a preference, what is against its rejected answer: judge, or the rule that spoilt it on purpose: dose,
        # warning; null as above
        pa.field("rejected_by", pa.string()),
        # of a preference, the models that wrote its two answers; the second is null of a spoilt answer, both of other
        # records, and in a table that was written before there were these columns
        pa.field("chosen_model", pa.string()),
        pa.field("rejected_model", pa.string()),
        # of a preference, the judge's rating of each answer by the rubric, 1 to 5, and the weighted mean as quality;
        # null where the build does not ask for it (`preference_scores`), and as above
        pa.field("chosen_scores", SCORES),
        pa.field("rejected_scores", SCORES),
        # one of stages/department.py's list, from the page's breadcrumb or an LLM
        pa.field("department", pa.string()),
        # the day the page says it was published, the site's own time zone
        pa.field("published", pa.date32()),
        # when its bytes were received, UTC
        pa.field("fetched", pa.timestamp("ms", tz="UTC"), False),
        # its place in the lake: <WARC path>#<offset>, <a corpus's file>#<row>
        pa.field("page", pa.string(), False),
        # the record it was derived from (translation, generated QA, preference)
        pa.field("parent", pa.string()),
        # <prompt name>@<hash of its wording> of the prompt that made it
        pa.field("prompt", pa.string()),
        # the model that answered that prompt (identity.py); of a preference who wrote and who judged
        pa.field("model", pa.string()),
        # where in the parent's text the answer stands, or what a translation is of; character offsets
        pa.field("evidence", pa.list_(_SPAN)),
        # of a question over two steps: the rows that it was made from besides its parent, with their addresses and the
        # places in their text, as it was then, where the answer stands (null of what was derived from such a question);
        # null of every other record, and in a table that was written before there was this column
        pa.field("also_from", pa.list_(_OTHER)),
        # keys in the store of every LLM reply that made, judged or labelled it
        pa.field("replies", pa.list_(pa.string())),
        # tokens the perplexity model read, and exp(mean negative log-likelihood) over them; null for derived records
        pa.field("tokens", pa.int32()),
        pa.field("perplexity", pa.float64()),
        # what rules found in the words as the page had them, before cleaning: `<kind> <field>[<start>:<end>]`
        # each; null where nothing was found, and in a table that was written before there was this column
        pa.field("identifiers", pa.list_(pa.string())),
        # of a qa: what was said after the answer, in order, by whom: user (追问) or assistant (追答); null where there
        # was nothing, and in a table that was written before there was this column (`chimed.turns`)
        pa.field("turns", pa.list_(_TURN)),
        # how good the row is by the rubric (llm/prompts/rate.yaml), 1 to 5: the weighted mean of the five below it;
        # all null where the build rates nothing, and in a table that was written before there were these columns
        *(pa.field(name, pa.float64()) for name in QUALITY),
        # the cluster of topics that it is in, of those of its build; null where it says too little or the build looks
        # for none, and in a table that was written before there was this column
        pa.field("cluster", pa.int32()),
    ]
)

# What only a preference has, besides its rejected answer.
OF_PAIRS = ("preference_margin", "rejected_by", "chosen_model", "rejected_model", "chosen_scores", "rejected_scores")

# What a column was called in tables of earlier versions. TRL's RewardTrainer reads a column `margin` by that name.
FORMER_NAMES = {"preference_margin": "margin"}

# A row that left: its record and why. fate: dropped (judged unfit) or failed (could not be judged).
DROPPED = pa.schema(
    [
        *RECORD,
        pa.field("fate", pa.string(), False),
        # a few words, the same for every row of one kind: what the ledger counts by
        pa.field("reason", pa.string(), False),
        # what a reader needs besides: the copied record's id, the span, the raw reply
        pa.field("detail", pa.string()),
    ]
)


def _polars_schema(schema: pa.Schema) -> pl.Schema:
    return pl.Schema(schema)  # and no empty table: making one imports pandas


RECORD_COLUMNS = _polars_schema(RECORD)
DROPPED_COLUMNS = _polars_schema(DROPPED)


def name_in(columns: Collection[str], name: str) -> str:
    """Return what a table with these columns calls a column: `name`, or what it was called in earlier versions."""
    former = FORMER_NAMES.get(name, name)
    return former if former in columns and name not in columns else name


def with_present_names(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a record's or a release's table with its columns as they are called now."""
    present = {name_in(row, name): name for name in FORMER_NAMES}
    return {present.get(name, name): value for name, value in row.items()}


def content_id(*parts: str | None) -> str:
    """Return 16 hex digits over the NFC form of `parts`; `None` and the empty string differ."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"\x00" if part is None else b"\x01" + unicodedata.normalize("NFC", part).encode() + b"\x02")
    return digest.hexdigest()[:16]


def keyed_hash(key: bytes, plain: str) -> str:
    """Return 16 hex digits of a keyed hash of a content hash.

    Without the key, someone who knows all of a text but a telephone number could find the number by trying.
    """
    return hmac.digest(key, plain.encode(), "sha256").hex()[:16]


def record_id(row: dict[str, Any]) -> str:
    """Return the id of a record of any kind: a hash of its page's URL, its kind, its language and its words.

    A reasoning and turns count where there are any, so all other records have the id that they had before.
    """
    words = [row.get(name) for name in ("title", "text", "question", "answer", "rejected")]
    if row.get("reasoning") is not None:
        words.append(row["reasoning"])
    later = (turn[name] for turn in row.get("turns") or () for name in ("role", "text"))
    return content_id(row["url"], row["kind"], row["language"], *words, *later)


def derived(parent: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Return a record row derived from `parent`: its page and provenance, with `changes` and a new id.

    Scores, the places of findings in the parent's words, and what was said after its answer are not copied. What it was
    also made from is, for with that its child goes too.
    """
    places = ("adopted", "reasoning", *OF_PAIRS, "evidence", "identifiers", "turns")
    unknown = dict.fromkeys((*places, "tokens", "perplexity", *QUALITY, "cluster"))
    others = parent.get("also_from") and [{**one, "evidence": None} for one in parent["also_from"]]
    row = {**parent, "parent": parent["id"], **unknown, "also_from": others, **changes}
    row["id"] = record_id(row)
    return row


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as a table with exactly the columns of `RECORD`."""
    return pl.DataFrame(rows, schema=RECORD_COLUMNS)


def dropped_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as a table with exactly the columns of `DROPPED`."""
    return pl.DataFrame(rows, schema=DROPPED_COLUMNS)


def left_rows(records: pl.DataFrame, why: dict[str, tuple[str, str]], fate: str = "dropped") -> pl.DataFrame:
    """Return the records of `why` (id → reason, detail) as rows of `DROPPED`, with fate `dropped` or `failed`."""
    reasons = pl.DataFrame(
        [(id, fate, reason, detail) for id, (reason, detail) in why.items()],
        schema={"id": pl.String, "fate": pl.String, "reason": pl.String, "detail": pl.String},
        orient="row",
    )
    return records.join(reasons, on="id", how="inner", maintain_order="left").select(DROPPED_COLUMNS.names())


WORD_COLUMNS = ("text", "question", "answer", "turns", "rejected")  # that `words` reads


def words(turns: bool = True) -> pl.Expr:
    """Return an expression for a record's own words as one string: text, question, answer, turns and rejected (paper
    §3.2).

    turns: whether what was said after the answer is among them.
    """
    columns = [pl.col(name) for name in WORD_COLUMNS if name != "turns"]
    if turns:
        columns.insert(WORD_COLUMNS.index("turns"), turn_words())
    return pl.concat_str(columns, separator="\n", ignore_nulls=True)


def turn_words(named: bool = False) -> pl.Expr:
    """Return an expression for what was said after the answer, a line each; null where nothing was.

    named: begin each with who speaks, 追问 or 追答, for people to read.
    """
    text = pl.element().struct.field("text")
    if named:
        is_asker = pl.element().struct.field("role") == "user"
        text = pl.when(is_asker).then(pl.lit("追问：")).otherwise(pl.lit("追答：")) + text
    return pl.col("turns").list.eval(text).list.join("\n")
