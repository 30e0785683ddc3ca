"""The card of a pushed model: where it comes from, how it was trained, what it scored, what it must not be used for.

Every figure comes from the lake: reports of the phases, the release's manifest, the comparison, and what the judge said
of its answers. What is not there is said to be missing. Words that people or sites wrote are quoted.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from chimed.evaluate.answering import read_judged
from chimed.evaluate.judged import markdown
from chimed.evaluate.questions import OPEN_ENDED, SAFETY
from chimed.release import folder_of, public_name, read_manifest
from chimed.release.card import sources_in
from chimed.release.markdown import quoted
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.run import SUBSET, trained

HERE = Path(__file__).parent
LONGEST = 300  # characters of a value that are shown
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's --max-lora-rank takes


def render_card(
    lake: Lake, release: str, recipe: str, phase: str, kind: str, name: str, start: str | None, folder: Path
) -> str:
    """Return the card's Markdown.

    kind: merged or adapter. name: how the model is loaded, a name of the hub or a path. start: what an adapter applies
    to. folder: the model's files here.
    """
    reports = [trained(lake, release, recipe, one) for one in recipes.chain(recipe, phase)]
    report = reports[-1]
    manifest = read_manifest(lake, release)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["quoted"] = partial(quoted, most=LONGEST)
    return environment.get_template("card.md.j2").render(
        kind=kind,
        name=name,
        start=start,
        rank=_rank(folder) if kind == "adapter" else None,
        phase=phase,
        recipe=report["recipe"],
        release=release,
        checksum=manifest.get("checksum"),
        base=_base(reports[0]),
        phases=[_phase(one) for one in reports],
        fields=report["fields"],
        versions=report["versions"],
        compared=_compared(lake, release, recipe, phase),
        judged=_judged(lake, release, recipe, phase),
        sources=_sources(lake, release, manifest),
        makers=_makers(manifest),
        screened=_screened(manifest),
        replica=any(one.get("replica") for one in manifest.get("inputs", ())),
    )


def _rank(folder: Path) -> int:
    """Return the smallest rank that vLLM can be started with and that holds the adapter's."""
    rank = int(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("r", RANKS[0]))
    return next((one for one in RANKS if one >= rank), rank)


def _base(first: dict[str, Any]) -> dict[str, str | None]:
    """Return the base model: name, commit (of the hub) or hash of its content (of a folder), on_hub."""
    name, _, commit = str(first["start_model"]).rpartition("@")
    if name:
        return {"name": name, "commit": commit, "hash": None}
    return {"name": public_name(str(first["start"])), "commit": None, "hash": commit}


def _phase(report: dict[str, Any]) -> dict[str, Any]:
    """Return what the card's table says of a phase."""
    counts = report.get("counts", {}).get("train") or {}
    return {
        "phase": report["phase"],
        "reads": SUBSET.get(report["phase"], "exam items"),
        "rows": counts.get("kept", report["rows"]["train"]),
        "tokens": report["tokens"],
        "steps": report["steps"],
        "loss": report.get("eval_loss") or _ends(report.get("loss")),
        "held_out": bool(report.get("eval_loss")),
        "accuracy": report.get("eval_accuracy"),
        "reward": (report.get("reward") or {}).get("all"),
        "mix": report.get("mix"),
        "device": report["device"],
        "finished": report["finished"][:10],
    }


def _ends(loss: dict[str, float] | None) -> dict[str, float] | None:
    return {"before": loss["first"], "after": loss["last"]} if loss else None


def _compared(lake: Lake, release: str, recipe: str, phase: str) -> dict[str, Any] | None:
    """Return the comparison's rows on this phase and its protocol; None where there is no comparison of it."""
    path = layout.scores(release, recipes.told_apart(recipe), layout.COMPARISON)
    if not lakes.exists(lake, path):
        return None
    known = lakes.read_json(lake, path)
    rows = [row for row in known["rows"] if row["model"] == phase]
    return {"rows": rows, "protocol": known["protocol"]} if rows else None


def _judged(lake: Lake, release: str, recipe: str, phase: str) -> list[str]:
    """Return lines on what a judge said of this phase's answers and base's; none where nothing was judged."""
    known = read_judged(lake, release, recipes.told_apart(recipe))
    if known is None or phase not in known[OPEN_ENDED]:
        return []
    shown = {name: {model: one for model, one in known[name].items() if model in ("base", phase)}
             for name in (OPEN_ENDED, SAFETY)}  # fmt: skip
    return markdown(known | shown)


def _sources(lake: Lake, release: str, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the release's sources with their rights; none where it does not record them."""
    path = f"{folder_of(release)}/{layout.STATISTICS}"
    if not lakes.exists(lake, path) or "inputs" not in manifest:
        return []
    return sources_in(lakes.read_json(lake, path), manifest)


def _makers(manifest: dict[str, Any]) -> list[str]:
    """Return the language models that wrote or ranked rows of the release."""
    wrote = ("translate", "generate_qa", "prefer")
    models = manifest.get("models", {})
    return sorted({public_name(one) for kind, found in models.items() if kind.startswith(wrote) for one in found})


def _screened(manifest: dict[str, Any]) -> list[str]:
    """Return the exams whose questions were taken out of the release; empty where it does not say."""
    return sorted(manifest.get("exams") or {})
