"""What was said after a question's first answer: the column `turns`, and the messages that are made of it. Ours.

A consultation goes on: the asker asks again (追问), the doctor replies or adds something (追答, 补充). `question` and
`answer` stay the first two turns; `turns` holds the rest, one entry for each time somebody spoke, in order. It may hold
two turns of one side in a row. Only `messages` joins those, because chat templates want the sides to alternate.
"""

import polars as pl

from chimed.roles import ASKER, DOCTOR

NONE = pl.DataFrame(schema={"row": pl.UInt32, "role": pl.String, "text": pl.String})  # no turns, as `spread` has them


def end_with_answer(turns: pl.Expr) -> pl.Expr:
    """Return turns without those after the doctor's last: nobody answered them. Null where nothing is left."""
    last = turns.list.eval((pl.element().struct.field("role") == DOCTOR).arg_true()).list.last()
    return pl.when(last.is_not_null()).then(turns.list.head(last + 1))


def count_unanswered(records: pl.DataFrame) -> int:
    """Return how many turns (column `turns`) stand after the doctor's last: `end_with_answer` takes them away."""
    before, after = pl.col("turns").list.len(), end_with_answer(pl.col("turns")).list.len()
    return int(records.select((before.fill_null(0) - after.fill_null(0)).cast(pl.Int64).sum()).item() or 0)


def spread(records: pl.DataFrame) -> pl.DataFrame:
    """Return the turns of a table, a row each: row (of the table), role, text. In order."""
    numbered = records.select(row=pl.int_range(pl.len(), dtype=pl.UInt32), turn="turns")
    return numbered.filter(pl.col("turn").list.len() > 0).explode("turn").unnest("turn")


def before_lost(turns: pl.DataFrame, lost: pl.Series | None = None) -> pl.DataFrame:
    """Return turns (columns of `spread`) up to the first of each row whose words are lost.

    Without the doctor's words, two questions would stand before one answer: a conversation ends before all that the
    doctor said to a question has become empty. What was said to a question that is empty itself, such as 不客气 to
    谢谢, only leaves. lost: for each turn, whether the conversation ends before it if it is empty, whoever speaks.
    """
    empty = turns["text"].str.strip_chars() == ""
    rows = turns["row"].filter(empty).unique()
    if not len(rows):
        return turns
    said = turns.select(
        "row",
        "role",
        place=pl.int_range(pl.len()),
        said=~empty,
        lost=empty & lost if lost is not None else pl.lit(False),
    )
    sides = (
        said.filter(pl.col("row").is_in(rows.implode()))
        .group_by(pl.struct("row", "role").rle_id().alias("side"), maintain_order=True)
        .agg(pl.col("row", "role", "place").first(), pl.col("said").any())
    )
    asked = pl.col("said").shift().over("row", order_by="side")  # null for the first side: it belongs to the answer
    unanswered = sides.filter((pl.col("role") == DOCTOR) & ~pl.col("said") & asked)
    ends = pl.concat([unanswered.select("row", "place"), said.filter("lost").select("row", "place")])
    ends = ends.group_by("row").agg(end=pl.col("place").min())
    left = said.select("row", "place").join(ends, on="row", how="left", maintain_order="left")
    return turns.filter(left.select((pl.col("place") < pl.col("end")).fill_null(True)).to_series())


def gathered(records: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """Return a table with these turns (columns of `spread`) as its column `turns`, without those that say nothing.

    A conversation ends before a turn whose words are lost (`before_lost`), and still with an answer: a question whose
    answer says nothing leaves with it.
    """
    kind = records.schema["turns"]
    said = before_lost(turns).filter(pl.col("text").str.strip_chars() != "")
    rows = said.group_by("row", maintain_order=True).agg(turns=pl.struct("role", "text"))
    numbered = records.drop("turns").with_row_index("row").with_columns(pl.col("row").cast(pl.UInt32))
    whole = numbered.join(rows, on="row", how="left", maintain_order="left")
    return whole.with_columns(end_with_answer(pl.col("turns").cast(kind))).select(records.columns)


def alternates() -> pl.Expr:
    """Return whether the column `messages` begins with a question, alternates and ends with an answer."""
    asks = pl.col("messages").list.eval(pl.element().struct.field("role") == ASKER)
    answers = pl.col("messages").list.eval(pl.element().struct.field("role") == DOCTOR)
    halves = pl.col("messages").list.len() // 2
    even = (pl.col("messages").list.len() % 2 == 0) & (halves > 0)
    return (
        even & (asks.list.gather_every(2).list.sum() == halves) & (answers.list.gather_every(2, 1).list.sum() == halves)
    )


def messages(records: pl.DataFrame) -> pl.Series:
    """Return each record's conversation as a list of messages (role, content), which begins with a question, alternates
    and ends with an answer.

    Turns of one side in a row are joined by a line feed: a doctor's addition without a question belongs to the answer
    before it, two questions in a row to one message. Questions that nobody answered are left out.
    """
    sides = ((ASKER, "question"), (DOCTOR, "answer"))
    first = records.select(
        messages=pl.concat_list(pl.struct(role=pl.lit(role), content=pl.col(name)) for role, name in sides)
    )
    later = spread(records.select(end_with_answer(pl.col("turns"))))
    if not len(later):
        return first.to_series()
    rows = later["row"].unique(maintain_order=True)
    opening = records[rows].select(
        rows, turn=pl.concat_list(pl.struct(role=pl.lit(role), text=pl.col(name)) for role, name in sides)
    )
    every = pl.concat([opening.explode("turn").unnest("turn"), later]).sort("row", maintain_order=True)
    joined = every.group_by(pl.struct("row", "role").rle_id().alias("side"), maintain_order=True).agg(
        pl.col("row", "role").first(), content=pl.col("text").str.join("\n")
    )
    long = joined.group_by("row", maintain_order=True).agg(long=pl.struct("role", "content"))
    numbered = first.with_row_index("row").join(long, on="row", how="left", maintain_order="left")
    return numbered.select(pl.coalesce("long", "messages").alias("messages")).to_series()
