"""Scores by lm-eval (paper §4.1, Table 6): the base model and every phase, under one stated and recorded protocol.

    python -m chimed evaluate base|cpt|sft|dpo --recipe qwen3-1.7b --release latest --backend hf|vllm --shots 5

Written to `scores/<release>/<recipe>/`: `<phase>.samples.parquet`, one row a question, and `<phase>.json`, written
last: it means done. A base model's scores are also kept by content under `scores/base/`, where the next release finds
them.
"""

import hashlib
import json
import logging
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from chimed import gpus
from chimed.errors import choose
from chimed.evaluate.answers import SAMPLES, answered, fair_score, tied
from chimed.evaluate.backend import answering, flags, known_backend, versions
from chimed.evaluate.exams import group_of
from chimed.evaluate.fetch import fetch_exams, sources_of
from chimed.evaluate.forgetting import general_share
from chimed.evaluate.model import MODELS, Model, find_model, local_checkpoint
from chimed.evaluate.protocol import BATCH_SIZE, SEED, known_template, protocol_of
from chimed.evaluate.seeds import training
from chimed.evaluate.tasks import Exams, local_exams
from chimed.private import scratch_folder
from chimed.release import find_release
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.recipe import PHASES
from chimed.train.run import trained

log = logging.getLogger("chimed")


def evaluate_phase(
    phase: str,
    recipe: str,
    release: str,
    backend: str | None = None,
    shots: int | None = None,
    template: str | None = None,
) -> dict[str, Any]:
    """Score one model and returns its score file. A model scored under this protocol is not scored again.

    backend: one of `backend.BACKENDS`, default `CHIMED_EVALUATE_BACKEND`. shots: examples before each question, default
    `CHIMED_EVALUATE_SHOTS`. template: one of `protocol.TEMPLATES`, default `CHIMED_EVALUATE_TEMPLATE`. Raises UserError
    for an unknown name, a backend that is not installed, a phase that is not trained, exams that cannot be read or have
    fewer examples than shots.
    """
    choose("phase", phase, MODELS)
    recipe = recipes.known(recipe)
    backend, template = known_backend(backend), known_template(template)  # before the hub is asked for anything
    lake = lakes.find_lake()
    release = find_release(lake, release)
    model = find_model(lake, phase, recipe, release, "evaluate", offline=bool(settings().exams))
    with tempfile.TemporaryDirectory() as work:
        source = Path(settings().exams or f"{work}/hub").expanduser()
        if not settings().exams:
            fetch_exams(source)
        exams, fetched = local_exams(source, Path(work)), sources_of(source)
        protocol = protocol_of(exams, backend, shots, template)
        protocol |= {"dtype": _dtype(recipe), "versions": versions(backend)}
        if flags(backend):
            protocol["vllm_flags"] = flags(backend)
        key = _key(model.identity, protocol)
        if lakes.exists(lake, f"{model.place}.json"):
            known = lakes.read_json(lake, f"{model.place}.json")
            if known["key"] == key:
                log.info("%s of %s is scored already", phase, recipe)
                return known
        score, samples = _scored(lake, model, key, protocol, exams, fetched)
    score |= {"phase": phase, "recipe": recipe, "release": model.release, "base_model": model.base}
    if phase != "base":
        line = recipes.chain(recipe, phase)
        reports = [trained(lake, model.release, recipe, one) for one in line]
        score |= {"training": training(reports), "general_share": general_share(reports)}
    _write(lake, model.place, score, samples)
    return score


def _scored(
    lake: Lake, model: Model, key: str, protocol: dict[str, Any], exams: Exams, fetched: dict[str, str] | None
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return a model's score and samples; of a base model those that were made before, for whatever release.

    fetched: the commits that the exams were fetched at, where they were.
    """
    kept = layout.scores("base", key)
    if model.phase == "base" and lakes.exists(lake, f"{kept}.json"):
        log.info("the base model was scored before, under the same protocol")
        return lakes.read_json(lake, f"{kept}.json"), lakes.read_table(lake, f"{kept}.samples.parquet")
    checkpoint = local_checkpoint(lake, model)
    log_file = scratch_folder() / f"evaluate-{model.recipe}-{model.phase}.log"
    chat = protocol["chat_template"] is not None
    asking = answering(protocol["backend"], checkpoint, model.commit, protocol["dtype"], BATCH_SIZE, log_file, chat)
    with gpus.held(f"evaluate {model.phase} of {model.recipe}", 1), asking as model_of:
        score, samples = _score(*model_of, exams, protocol)
    score |= {"key": key, "model": model.identity, "checkpoint": checkpoint, "protocol": protocol}
    if fetched is not None:
        score["exam_sources"] = fetched
    if model.phase == "base":
        _write(lake, kept, score, samples)
    return score, samples


def _write(lake: Lake, place: str, score: dict[str, Any], samples: pl.DataFrame) -> None:
    lakes.write_table(lake, f"{place}.samples.parquet", samples, SAMPLES)
    lakes.write_json(lake, f"{place}.json", score)


def _dtype(recipe: str) -> str:
    """Return the recipe's dtype; without a GPU it is fp32, and such scores are not compared with the others."""
    import torch

    return recipes.load(recipe, PHASES[0])["dtype"] if torch.cuda.is_available() else "float32"


def _key(model: str, protocol: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([model, protocol], sort_keys=True).encode()).hexdigest()[:16]


def _score(
    model: str, model_args: dict[str, Any], exams: Exams, protocol: dict[str, Any]
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return lm-eval's result as a score (counts by task) and its samples (`answers.SAMPLES`)."""
    import datasets
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    gpu = torch.cuda.is_available()
    began = time.monotonic()
    found = simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=list(exams.tasks),
        task_manager=TaskManager(include_path=str(exams.folder), include_defaults=False),
        num_fewshot=protocol["shots"],
        apply_chat_template=protocol["chat_template"] is not None,
        fewshot_as_multiturn=protocol["chat_template"] is not None,
        device="cuda" if gpu else "cpu",
        bootstrap_iters=0,  # lm-eval's unpaired error bars are not used: compare pairs the answers
        random_seed=SEED,
        numpy_random_seed=SEED,
        torch_random_seed=SEED,
        log_samples=True,
    )
    rows = [answered(task, sample) for task in exams.tasks for sample in found["samples"][task]]
    samples = pl.DataFrame(rows).sort("task", "number", maintain_order=True)
    counts: dict[str, dict[str, Any]] = {
        task: {
            "correct": int(part["correct"].sum()),
            "questions": part.height,
            "group": group_of(task),
            "acc": float(found["results"][task]["acc,none"]),
            "tied": tied(part["scores"]),
            "fair": fair_score(part),
            "unread": int((part["chosen"] == "").sum()),
        }
        for task, part in ((task, samples.filter(pl.col("task") == task)) for task in exams.tasks)
    }
    for task, count in counts.items():
        log.info("%s: %d of %d", task, count["correct"], count["questions"])
        if count["tied"]:
            log.warning("%s: %d answers are ties between letters, where lm-eval takes the first", task, count["tied"])
        if count["unread"]:
            log.warning("%s: %d replies name no letter; they count as wrong", task, count["unread"])
        if abs(count["correct"] / count["questions"] - count["acc"]) > 1e-6:
            raise RuntimeError(f"the samples of {task} give a different accuracy than lm-eval: {count}")
    return {
        "tasks": counts,
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "seconds": round(time.monotonic() - began, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }, samples
