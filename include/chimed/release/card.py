"""The data card: the release's README.md, for people and for the Hugging Face Hub (paper §3.3, Tables 1, 3 and 4).

Every number in it comes from the release's tables and manifest, none is typed, and it tells of nothing that the release
has no part of: no site or corpus without a row, no model that was not asked, no stage that was skipped, no path of the
machine that made it. Crawled words are quoted so that no Markdown and no HTML can begin in them.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import yaml

from chimed import reasons
from chimed.build import order
from chimed.build.options import Options
from chimed.rating.rubric import CRITERIA
from chimed.release import SUBSETS, public_name
from chimed.release.codes import words_of
from chimed.release.file_names import table_files
from chimed.release.markdown import quoted
from chimed.release.rows import split_thought
from chimed.release.statistics import Counts, statistics
from chimed.release.table4 import PAPER_NAMES, table4
from chimed.release.tables import files_in, read_batches
from chimed.sources import FILES
from chimed.storage.lake import Lake

HERE = Path(__file__).parent
RIGHTS = ("title", "license", "homepage")  # what may have been said of a corpus when it was ingested
CLUSTERS_SHOWN = 20
LONGEST = 300  # characters of an example's field that are shown


def render_card(
    version: str,
    counts: Counts,
    files: list[str],
    shown: list[dict[str, Any]],
    made: dict[str, Any],
    changes: dict[str, Any],
    accepted: dict[str, Any] | None,
    checksum: str,
    graph: dict[str, Any],
) -> str:
    """Return the card's Markdown, from a release's sums, files, `examples`, `making`, `compare` and acceptance.

    graph: what `Graph.numbers` counts.
    """
    numbers = statistics(counts)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "million": _million, "quoted": partial(quoted, most=LONGEST)}
    environment.filters["told"] = words_of
    environment.filters["reason"] = reasons.words
    return environment.get_template("card.md.j2").render(
        version=version,
        numbers=numbers,
        criteria=CRITERIA,
        made=made,
        changes=changes,
        accepted=accepted,
        checksum=checksum,
        loadable=_loadable(table_files(files)),
        missing=[name for name, rows in numbers["splits"].items() if not rows],
        table4=table4(numbers),
        size=size_category(numbers["instances"]),
        holds=_holds(counts),
        sources=sources_in(numbers, made),
        inputs=_inputs(numbers, made),
        stages=_stages(made),
        models=models_in(counts, made),
        changed=changed_options(made["options"]),
        examples=shown,
        graph=graph,
        largest_clusters=largest_clusters(made),
        replica=any(crawl["replica"] for crawl in made["inputs"]),
    )


# --- what it is made of ------------------------------------------------------------------------------------------


def _holds(counts: Counts) -> dict[str, Any]:
    """Return what is in a release: languages, domains, and subsets with rows."""
    found = {name: set(counts.places[name]) for name in ("language", "domain", "subset")}
    subsets = [subset for subset in SUBSETS if subset in found["subset"]]
    return {"languages": sorted(found["language"], reverse=True), "domains": found["domain"], "subsets": subsets}


def sources_in(numbers: dict[str, Any], made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sites and corpora that the release has rows of, by name.

    Keys: name, ingested (whether it is a corpus), known (what `sources.yaml` says of a site, or None), rights (what was
    said of a corpus when it was ingested, each time that something else was).
    """
    known = yaml.safe_load((HERE / "sources.yaml").read_text(encoding="utf-8"))
    names = sorted({row["source"] for row in numbers["sources"]}, key=lambda name: (name not in known, name))
    found = []
    for name in names:
        ingested = [one for one in made["inputs"] if _source(one) == name and one.get("form") == FILES]
        said = dict.fromkeys(tuple(one["rights"].get(key) for key in RIGHTS) for one in ingested)
        rights = [dict(zip(RIGHTS, values, strict=True)) for values in said]
        found.append({"name": name, "ingested": bool(ingested), "known": known.get(name), "rights": rights})
    return found


def _inputs(numbers: dict[str, Any], made: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Group a release's inputs: crawls and ingested files of sources with rows in it, and `others`, which have none."""
    names = {row["source"] for row in numbers["sources"]}
    here = [one for one in made["inputs"] if _source(one) in names]
    return {
        "crawls": [one for one in here if one.get("form") != FILES],
        "corpora": [one for one in here if one.get("form") == FILES],
        "others": [one for one in made["inputs"] if _source(one) not in names],
    }


def _source(one: dict[str, Any]) -> str:
    return one["crawl"].split("/")[0]


def _stages(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each stage of the ledger: does (one sentence), skipped."""
    does = {stage.name: stage.does for stage in order.STAGES}
    skipped = {name for name, figures in made["figures"].items() if figures.get("skipped") is True}
    return {
        entry["stage"]: {
            "skipped": entry.get("skipped") or entry["stage"] in skipped,
            "does": does.get(entry["stage"], ""),  # a stage of another version has none here
        }
        for entry in made["ledger"]
    }


def models_in(counts: Counts, made: dict[str, Any]) -> list[str]:
    """Return the models that the release owes something to, each with what it did; none that was not asked."""
    told, answered = made["settings"], made.get("models", {})  # of an older manifest only the served names are known
    did: dict[str, list[str]] = {}
    for cost in made["cost"]:
        if cost.get("requests"):
            served = told["judge_model" if cost["kind"] == "judge" else "llm_model"]
            for model in answered.get(f"{cost['stage']} {cost['kind']}", [served]):
                did.setdefault(public_name(model), []).append(cost["stage"])
    if sum(made["perplexity"]["counts"]):
        did.setdefault(public_name(told["perplexity_model"]), []).append("perplexity")
    for model in [] if answered else counts.places["model"].drop_nulls().unique():
        did.setdefault(public_name(model), ["rows"])
    return [f"{model} ({', '.join(dict.fromkeys(what))})" for model, what in sorted(did.items())]


def largest_clusters(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the clusters with most rows, `CLUSTERS_SHOWN` at most; none where the build has looked for none."""
    found = (made.get("diversity") or {}).get("clusters", [])
    return sorted(found, key=lambda one: (-sum(one["rows"].values()), one["cluster"]))[:CLUSTERS_SHOWN]


def changed_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the build's options that are not the paper's."""
    usual = Options().model_dump(mode="json")
    return {name: value for name, value in sorted(options.items()) if name not in usual or usual[name] != value}


# --- numbers -----------------------------------------------------------------------------------------------------


def _loadable(files: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return the card's configurations: each subset with rows, and the splits of it that have some, with their files.

    Several files are told as a pattern: `datasets` reads them in the order of their names.
    """
    found: dict[str, dict[str, str]] = {}
    for table, names in files.items():
        subset, split = table.split("/")
        if names:
            found.setdefault(subset, {})[split] = names[0] if len(names) == 1 else f"{table}-*.parquet"
    return found


def size_category(rows: int) -> str:
    """Return the hub's word for a number of rows."""
    bounds = ["1K", "10K", "100K", "1M", "10M"]
    below = next((n for n, bound in enumerate((1e3, 1e4, 1e5, 1e6, 1e7)) if rows < bound), None)
    if below is None:
        return "n>10M"
    return "n<1K" if below == 0 else f"{bounds[below - 1]}<n<{bounds[below]}"


def examples(lake: Lake, folder: str, counts: Counts) -> list[dict[str, Any]]:
    """One row of train for each subset and domain, as in Table 3: the first by id, its words by the paper's labels."""
    shown = []
    in_train = counts.places.filter(pl.col("table").str.ends_with("/train"))
    files = files_in(lake, folder)
    for subset in SUBSETS:
        domains = set(in_train.filter(pl.col("subset") == subset)["domain"])
        wanted = [domain for domain in PAPER_NAMES if domain in domains]
        first: dict[str, dict[str, Any]] = {}
        batches = (batch for path in files[f"{subset}/train"] for batch in read_batches(lake, path, subset))
        for batch in batches if wanted else ():
            rows = batch.filter(pl.col("domain").is_in(wanted)).unique("domain", keep="first", maintain_order=True)
            first = {row["domain"]: row for row in rows.to_dicts()} | first
            if len(first) == len(wanted):
                break
        for domain in wanted:
            about = {key: first[domain][key] for key in ("id", "source", "url")}
            words = _words(first[domain], subset)
            shown.append({"subset": subset, "domain": PAPER_NAMES[domain], **about, "words": words})
    return shown


def _words(row: dict[str, Any], subset: str) -> dict[str, str]:
    if subset == "pretrain":
        return {"": row["text"]}
    if subset == "reasoning":
        thought, answer = split_thought(row["messages"][1]["content"])
        return {"Q": row["messages"][0]["content"], "思考": thought, "A": answer}
    if subset == "sft":
        return {f"{'QA'[n % 2]}{n // 2 + 1 if n > 1 else ''}": one["content"] for n, one in enumerate(row["messages"])}
    asked, chosen, rejected = (row[name][0]["content"] for name in ("prompt", "chosen", "rejected"))
    return {"患者": asked, "接受示例": chosen, "拒绝示例": rejected}


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _million(characters: int) -> str:
    return f"{characters / 1e6:.2f}M"
