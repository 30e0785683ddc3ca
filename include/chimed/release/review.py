"""What people say of a stage's sampled records, and how far the stage can be trusted by it (paper §3.2: ours).

A stage puts up a sample of what it flagged and of what it let pass (`store.queue_for_review`); a reviewer says of each,
without seeing which it is, whether it should have been flagged. Several people may look at one record. In the queue of
`rate` a verdict is four scores by the rubric (`chimed.release.people`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, delete, func, or_, select

from chimed.errors import UserError, choose
from chimed.intervals import wilson
from chimed.release import people
from chimed.storage import audit_log
from chimed.storage.store import Store, upsert
from chimed.storage.store_tables import REVIEW_QUEUE, REVIEWS, TAKEDOWNS

AT_A_TIME = 500  # SQLite's limit on bound parameters
VERDICTS = ("flagged", "passed")  # what the stage should have said
Q, R = REVIEW_QUEUE.c, REVIEWS.c
# what was taken down is handed to nobody, also where a build put it up at that very moment
OPEN = or_(Q.url.is_(None), Q.url.not_in(select(TAKEDOWNS.c.target)))


def queues(store: Store) -> list[dict[str, Any]]:
    """Return what there is to review (build, stage, records), newest build first, of a build what was screened."""
    found = select(Q.build, Q.stage, func.count().label("records"), func.max(Q.sampled).label("newest"))
    with store.engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(found.group_by(Q.build, Q.stage)).mappings()]
    newest = {row["build"]: max(one["newest"] for one in rows if one["build"] == row["build"]) for row in rows}
    rows.sort(key=lambda row: (row["stage"] == people.STAGE, row["stage"]))
    rows.sort(key=lambda row: newest[row["build"]], reverse=True)
    return [{name: row[name] for name in ("build", "stage", "records")} for row in rows]


def waiting(
    store: Store, build: str, stage: str, reviewer: str, most: int, beyond: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return the next records that this reviewer has not judged: record, text.

    They come in the order of their ids, which are hashes, so flagged and passed records are mixed. beyond: records that
    the reviewer has been shown already.
    """
    own = and_(R.record == Q.record, R.stage == Q.stage, R.reviewer == reviewer)
    wanted = select(Q.record, Q.text).outerjoin(REVIEWS, own).where(Q.build == build, Q.stage == stage)
    wanted = wanted.where(OPEN, R.record.is_(None), Q.record.not_in(list(beyond))).order_by(Q.record).limit(most)
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(wanted).mappings()]


def judged_by(store: Store, build: str, stage: str, reviewer: str) -> int:
    """How many records of a build's queue a reviewer has judged."""
    own = and_(R.record == Q.record, R.stage == Q.stage, R.reviewer == reviewer)
    counted = (
        select(func.count()).select_from(REVIEW_QUEUE.join(REVIEWS, own)).where(Q.build == build, Q.stage == stage)
    )
    with store.engine.connect() as connection:
        return connection.execute(counted).scalar_one()


def judge(store: Store, build: str, stage: str, record: str, reviewer: str, verdict: str) -> dict[str, Any]:
    """Write down who says what of a record, and when; a second verdict of the same reviewer replaces the first.

    verdict: one of `VERDICTS`, or four scores such as `4 3 5 4` where the stage rates. Returns what the stage said:
    kind and reason. Raises UserError for a verdict or a record that is none.
    """
    if stage != people.STAGE:
        choose("verdict", verdict, VERDICTS)
    with store.engine.connect() as connection:
        here = (OPEN, Q.build == build, Q.stage == stage, Q.record == record)
        found = connection.execute(select(Q.kind, Q.reason).where(*here)).mappings().first()
    if found is None:
        raise UserError(f"no record {record!r} in the review queue of {stage} of build {build}")
    if stage == people.STAGE:
        verdict = people.check_scores(verdict, found["reason"])
    row = {"record": record, "stage": stage, "reviewer": reviewer, "verdict": verdict, "created": datetime.now(UTC)}
    upsert(store, REVIEWS, [row])
    audit_log.record_decision(store, "verdict", f"{stage} of {build}: {record}", verdict, reviewer)
    return dict(found)


def close(store: Store, records: Iterable[str], urls: Iterable[str]) -> int:
    """Take records out of all queues, by their ids and by their URLs; returns how many. Verdicts on them stay: they
    hold no word, and say how far the stage can be trusted."""
    closed = 0
    with store.engine.begin() as connection:
        for column, names in ((Q.record, sorted(set(records))), (Q.url, sorted(set(urls)))):
            for start in range(0, len(names), AT_A_TIME):
                closed += connection.execute(
                    delete(REVIEW_QUEUE).where(column.in_(names[start : start + AT_A_TIME]))
                ).rowcount
    return closed


def standing(store: Store, build: str, stage: str) -> dict[str, Any]:
    """Return what the verdicts on a build's sample say so far.

    Keys: precision (of the flagged, the share that reviewers would flag) and missed (the same of the passed), each with
    part, of, low, high (Wilson, 95 %; None where none was looked at) and sampled; reviewers (name, verdicts,
    last); agreement (of records that two or more looked at: part agreed, of, low, high); disputed (record, text, kind,
    verdicts by reviewer). The last verdict on a record counts.
    """
    with store.engine.connect() as connection:
        counted = select(Q.kind, func.count().label("records")).where(Q.build == build, Q.stage == stage)
        sampled: dict[str, int] = {row.kind: row.records for row in connection.execute(counted.group_by(Q.kind))}
        same = and_(R.record == Q.record, R.stage == Q.stage)
        said = select(Q.record, Q.kind, R.reviewer, R.verdict, R.created).join(REVIEWS, same)
        said = said.where(Q.build == build, Q.stage == stage).order_by(R.created)
        rows = [dict(row) for row in connection.execute(said).mappings()]
        by_record: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_record.setdefault(row["record"], []).append(row)
        split = [id for id, several in by_record.items() if len({one["verdict"] for one in several}) > 1]
        wanted = select(Q.record, Q.text).where(OPEN, Q.build == build, Q.stage == stage, Q.record.in_(split))
        texts: dict[str, str] = {row.record: row.text for row in connection.execute(wanted)}
    last = {kind: [several[-1] for several in by_record.values() if several[-1]["kind"] == kind] for kind in VERDICTS}
    twice = [several for several in by_record.values() if len(several) > 1]
    return {
        "precision": _flagged(last["flagged"], sampled.get("flagged", 0)),
        "missed": _flagged(last["passed"], sampled.get("passed", 0)),
        "reviewers": _reviewers(rows),
        "agreement": _share(len(twice) - len(split), len(twice)),
        "disputed": [
            {
                "record": id,
                "kind": by_record[id][0]["kind"],
                "text": texts[id],
                "verdicts": {one["reviewer"]: one["verdict"] for one in by_record[id]},
            }
            for id in split
            if id in texts
        ],
    }


def _flagged(said: list[dict[str, Any]], sampled: int) -> dict[str, Any]:
    return {**_share(sum(one["verdict"] == "flagged" for one in said), len(said)), "sampled": sampled}


def _share(part: int, of: int) -> dict[str, Any]:
    low, high = wilson(part, of) if of else (None, None)
    return {"part": part, "of": of, "low": low, "high": high}


def _reviewers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(row["reviewer"] for row in rows)
    by_name = {name: [row for row in rows if row["reviewer"] == name] for name in names}
    return [{"name": name, "verdicts": len(own), "last": own[-1]["created"]} for name, own in by_name.items()]
