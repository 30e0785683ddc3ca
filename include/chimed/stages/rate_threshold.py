"""rate, step 3 of 3, once: where the cut falls (`quality_cut`), what others would take, and which rows to look at.

Memory: id, kind, source and one number of each row. The step writes `threshold.json`.
"""

from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_whole
from chimed.rating import ranking
from chimed.stages.rate_score import scores_file
from chimed.storage import lake as lakes


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Rank the rows of the corpus by their rating, each kind by itself."""
    paths = [corpus.path("score", scores_file(part)) for part in range(len(corpus.rows))]
    empty = pl.DataFrame(schema={**dict.fromkeys(ranking.COLUMNS[:3], pl.String), "quality": pl.Float64})
    ranked = ranking.rank(pl.concat([empty, *(read_whole(work.lake, path, ranking.COLUMNS) for path in paths)]))
    share = work.options.quality_cut
    cuts = ranking.find_cuts(ranked, share)
    found = {
        "cuts": cuts,
        "would_take": {f"{one:g}": ranking.count_taken(ranked, one) for one in ranking.SHARES},
        "shown": ranking.choose_shown(ranked, share),
    }
    lakes.write_json(work.lake, corpus.path("threshold", "threshold.json"), found)
    return {"rows": len(ranked), "cut": sum(one["cut"] for one in cuts.values())}
