"""What people rate by the rubric, and how far the judge agrees with them. Ours.

`rate` queues a part of what the judge rated (`store.queue_for_review`, with the judge's scores as the reason); a
reviewer gives the same four scores without seeing them. A verdict holds the scores and the rubric's version, `4 3 5 4
rate@1a2b3c4d`: what was rated by another wording is not compared.
"""

import re
from typing import Any

import numpy as np
from sqlalchemy import and_, select

from chimed.errors import UserError
from chimed.rating.agreement import kappa
from chimed.rating.rubric import JUDGED, LEAST, MOST
from chimed.storage.store import Store
from chimed.storage.store_tables import REVIEW_QUEUE, REVIEWS

STAGE = "rate"
VERSION = re.compile(r"rate@[0-9a-f]{8}")
Q, R = REVIEW_QUEUE.c, REVIEWS.c


def read_scores(said: str) -> tuple[tuple[int, ...], str] | None:
    """Return the scores and the rubric's version that a verdict or a queued row holds; None where it holds none."""
    *digits, version = said.split(" ")
    allowed = [str(score) for score in range(LEAST, MOST + 1)]
    if len(digits) != len(JUDGED) or not VERSION.fullmatch(version) or not set(digits) <= set(allowed):
        return None
    return tuple(map(int, digits)), version


def check_scores(said: str, queued: str) -> str:
    """Return a reviewer's scores as a verdict by the rubric that the queued row was rated by. Raises UserError."""
    version = queued.rpartition(" ")[2]
    if read_scores(f"{said} {version}") is None:
        names = ", ".join(JUDGED)
        raise UserError(f"{said[:40]!r} is no rating; give {len(JUDGED)} numbers from 1 to 5, for {names}: 4 3 5 4")
    return f"{said} {version}"


def rated_by_people(store: Store, build: str) -> dict[str, Any]:
    """Return how the judge's scores agree with people's, over a build's queue.

    Keys: rated (rows that people rated), sampled (rows queued), criteria: by name the quadratic kappa of judge and
    people with its interval, and same (rows on which both say the same), of (rows). The last verdict on a row counts,
    and only one by the rubric that the judge had.
    """
    same = and_(R.record == Q.record, R.stage == Q.stage)
    wanted = select(Q.record, Q.reason, R.verdict).outerjoin(REVIEWS, same)
    with store.engine.connect() as connection:
        rows = connection.execute(wanted.where(Q.build == build, Q.stage == STAGE).order_by(R.created)).all()
    last: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for record, reason, verdict in rows:
        judge, person = read_scores(reason), read_scores(verdict or "")
        if judge and person and judge[1] == person[1]:
            last[record] = judge[0], person[0]
    pairs = np.array(list(last.values()), dtype=int).reshape(len(last), 2, len(JUDGED))
    criteria = {
        name: kappa(pairs[:, 0, n], pairs[:, 1, n]) | {"same": int((pairs[:, 0, n] == pairs[:, 1, n]).sum())}
        for n, name in enumerate(JUDGED)
    }
    return {"rated": len(last), "sampled": len({row.record for row in rows}), "criteria": criteria}
