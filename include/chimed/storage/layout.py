"""Where everything lies in the lake: every path, relative to its root, in one place. It reads nothing.

raw/<source>/<crawl>/            *.warc.gz, index.cdxj, report.json (written last)
extracts/<source>/<crawl>/       the same crawl as records: <WARC file>/ kept-00000.parquet, dropped-00000.parquet
builds/<version>/build.json      its inputs and options
builds/<version>/<stage>/        kept-00000.parquet, dropped-00000.parquet, report-00000.json (written last)
builds/<version>/ledger.parquet  rows by stage, source, fate and reason, when its last stage is done
builds/<version>/classifier.npz  what `rate` learned of the judge's ratings: numbers, no text
steps/<build>/<stage>/<step>/    what a stage has to know of the whole corpus, until it is done (`chimed.build.steps`)
signatures/<scheme>/             MinHash signatures of texts, a file for each part of the crawls (dedup)
releases/<version>/              what a researcher loads
models/<release>/<recipe>/       base → cpt → sft → dpo: adapter, merged checkpoint, metrics
scores/<release>/<recipe>/       lm-eval results of the base and every phase, and their comparison
notices/<channel>.json           that notices do not arrive by mail or webhook, since when and why, while that is so
"""

RAW, EXTRACTS, BUILDS, STEPS, SIGNATURES = "raw", "extracts", "builds", "steps", "signatures"
RELEASES, MODELS, SCORES, NOTICES = "releases", "models", "scores", "notices"

REPORT = "report.json"  # of a crawl, an extract or a trained phase; written last
INDEX = "index.cdxj"  # of a crawl's WARC files
BUILD = "build.json"
LEDGER = "ledger.parquet"
CLASSIFIER = "classifier.npz"  # what `rate` learned of the judge, of a build
MANIFEST = "manifest.json"  # of a release; written last
WITHDRAWN = "withdrawn.json"  # says why a release is no more
STATISTICS = "statistics.json"
COMPARISON = "compare.json"
SUPERSEDED = "again.parquet"  # of an extract: rows whose record stands on a later page


def raw(*names: str) -> str:
    """Return the path of a source, of a crawl of it (`ask39/2026-11-16`, or both apart), or of a file there."""
    return "/".join((RAW, *names))


def extracts(*names: str) -> str:
    """Return the path of what was extracted from a source, from a crawl of it, or of a file there."""
    return "/".join((EXTRACTS, *names))


def build(*names: str) -> str:
    """Return the path of a build, of a stage of it, or of a file there."""
    return "/".join((BUILDS, *names))


def steps(*names: str) -> str:
    """Return the path of a build's steps, of those of a stage, of a step of it, or of a file there."""
    return "/".join((STEPS, *names))


def signatures(*names: str) -> str:
    """Return the path of a scheme's signatures, or of a file of them."""
    return "/".join((SIGNATURES, *names))


def release(*names: str) -> str:
    """Return the path of a release, or of a file of it."""
    return "/".join((RELEASES, *names))


def models(*names: str) -> str:
    """Return the path of the models that were trained on a release, by recipe and phase, or of a file there."""
    return "/".join((MODELS, *names))


def scores(*names: str) -> str:
    """Return the path of the scores of a release's models, by recipe and phase, or of a file there."""
    return "/".join((SCORES, *names))


# --- the numbered files of a stage -------------------------------------------------------------------------------


def kept(part: int) -> str:
    """Name the file of a part's kept and derived rows."""
    return f"kept-{part:05d}.parquet"


def dropped(part: int) -> str:
    """Name the file of a part's dropped and failed rows."""
    return f"dropped-{part:05d}.parquet"


def report(shard: int) -> str:
    """Name the report of a shard."""
    return f"report-{shard:05d}.json"


def notices(*names: str) -> str:
    """Return the path of a file about a channel of notices."""
    return "/".join((NOTICES, *names))
