"""Scores by lm-eval (paper §4.1, Table 6): the base model and every phase, under one fixed and recorded protocol.

    python -m chimed evaluate base|cpt|sft|dpo --recipe qwen3-1.7b --release latest --backend hf|vllm

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

import polars as pl
import pyarrow as pa

from chimed.errors import choose
from chimed.evaluate.backend import BACKENDS, answering, flags, versions
from chimed.evaluate.exams import Exams, group_of, local_exams
from chimed.evaluate.fetch import fetch_exams
from chimed.llm.torch_environment import prepare
from chimed.private import scratch_folder
from chimed.release import find_release
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint
from chimed.train.run import PHASES, base_of, place_of, trained

log = logging.getLogger("chimed")

MODELS = ("base", *PHASES)

# One way to ask, for every model that is to be compared. The paper says only "the same template", and follows
# lm-eval's defaults as far as one can tell; with Qwen3 the template alone moves scores by tens of points.
BATCH_SIZE = 16
PROTOCOL = {
    "chat_template": None,
    "shots": 0,
    "thinking": "off: the four letters are scored by log-likelihood, nothing is generated",
    "metric": "acc",
    "batch_size": BATCH_SIZE,
    "seed": 1234,
}

SAMPLES = pa.schema(
    [
        pa.field("task", pa.string(), False),
        # the question's number in its file, and lm-eval's hash of it: what two models' answers are paired by
        pa.field("number", pa.int32(), False),
        pa.field("hash", pa.string(), False),
        pa.field("question", pa.string(), False),
        # the right letter; the one of highest log-likelihood, of equal ones the first, as lm-eval has it; do they agree
        pa.field("answer", pa.string(), False),
        pa.field("chosen", pa.string(), False),
        pa.field("correct", pa.bool_(), False),
        # log-likelihoods of A, B, C, D
        pa.field("scores", pa.list_(pa.float64()), False),
    ]
)


def evaluate_phase(phase: str, recipe: str, release: str, backend: str | None = None) -> dict:
    """Scores one model and returns its score file. A model scored under this protocol is not scored again.

    backend: one of `backend.BACKENDS`, default `CHIMED_EVALUATE_BACKEND`. Raises UserError for an unknown name, a phase
    that is not trained, or exams that cannot be read.
    """
    choose("phase", phase, MODELS)
    choose("recipe", recipe, recipes.names())
    backend = choose("backend", backend or settings().evaluate_backend, BACKENDS)
    lake = lakes.open_lake()
    release = find_release(lake, release)
    place = layout.scores(release, recipe, phase)
    if phase == "base":
        checkpoint = base_of(recipe, settings().base_checkpoint)
        prepare("evaluate", offline=Path(checkpoint).is_dir() and bool(settings().exams))
        model = base = _base_model(lake, place_of(release, recipe, PHASES[0]), recipe, checkpoint)
    else:
        report = trained(lake, release, recipe, phase)
        model, base = report["fingerprint"], report.get("base_model", "")
        checkpoint = f"{place_of(release, recipe, phase)}/merged"
        prepare("evaluate", offline=bool(settings().exams))
    with tempfile.TemporaryDirectory() as work:
        source = Path(settings().exams or f"{work}/hub").expanduser()
        if not settings().exams:
            fetch_exams(source)
        exams = local_exams(source, Path(work))
        dtype = _dtype(recipe)
        protocol: dict = PROTOCOL | {
            "exams": exams.content,
            "backend": backend,
            "dtype": dtype,
            "versions": versions(backend),
        }
        if flags(backend):
            protocol["vllm_flags"] = flags(backend)
        key = _key(model, protocol)
        if lakes.exists(lake, f"{place}.json"):
            known = lakes.read_json(lake, f"{place}.json")
            if known["key"] == key:
                log.info("%s of %s is scored already", phase, recipe)
                return known
        kept = layout.scores("base", key)
        if phase == "base" and lakes.exists(lake, f"{kept}.json"):
            log.info("the base model was scored before, under the same protocol")
            score, samples = lakes.read_json(lake, f"{kept}.json"), lakes.read_table(lake, f"{kept}.samples.parquet")
        else:
            if phase != "base":
                checkpoint = str(lakes.local_path(lake, checkpoint))
            log_file = scratch_folder() / f"evaluate-{recipe}-{phase}.log"
            commit = model.rsplit("@", 1)[1] if phase == "base" and "@" in model else None
            with answering(backend, checkpoint, commit, dtype, BATCH_SIZE, log_file) as model_of:
                score, samples = _score(*model_of, exams)
            score |= {"key": key, "model": model, "checkpoint": checkpoint, "protocol": protocol}
            if (source / "sources.json").exists():  # the commits that the exams were fetched at
                score["exam_sources"] = json.loads((source / "sources.json").read_text())
            if phase == "base":
                _write(lake, kept, score, samples)
    score |= {"phase": phase, "recipe": recipe, "release": release, "base_model": base}
    _write(lake, place, score, samples)
    return score


def _base_model(lake: Lake, begun: str, recipe: str, checkpoint: str) -> str:
    """What the base model is, by content; one of the hub is the commit that training began with, if it has begun."""
    if lakes.exists(lake, f"{begun}/run.json"):
        known = str(lakes.read_json(lake, f"{begun}/run.json")["start_model"])
        if known.startswith(f"{checkpoint}@"):
            return known
    return fingerprint(checkpoint, recipes.load(recipe, PHASES[0]).get("model_revision"))


def _write(lake: Lake, place: str, score: dict, samples: pl.DataFrame) -> None:
    lakes.write_table(lake, f"{place}.samples.parquet", samples, SAMPLES)
    lakes.write_json(lake, f"{place}.json", score)


def _dtype(recipe: str) -> str:
    """The recipe's on a GPU; without one everything is fp32, and such scores are not compared with the others."""
    import torch

    return recipes.load(recipe, PHASES[0])["dtype"] if torch.cuda.is_available() else "float32"


def _key(model: str, protocol: dict) -> str:
    return hashlib.sha256(json.dumps([model, protocol], sort_keys=True).encode()).hexdigest()[:16]


def _score(model: str, model_args: dict, exams: Exams) -> tuple[dict, pl.DataFrame]:
    """lm-eval's result as a score (counts a task) and its samples (`SAMPLES`)."""
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
        num_fewshot=PROTOCOL["shots"],
        apply_chat_template=False,
        device="cuda" if gpu else "cpu",
        bootstrap_iters=0,  # lm-eval's unpaired error bars are not used: compare pairs the answers
        random_seed=PROTOCOL["seed"],
        numpy_random_seed=PROTOCOL["seed"],
        torch_random_seed=PROTOCOL["seed"],
        log_samples=True,
    )
    rows = [_row(task, sample) for task in exams.tasks for sample in found["samples"][task]]
    samples = pl.DataFrame(rows).sort("task", "number", maintain_order=True)
    counts: dict[str, dict] = {
        task: {
            "correct": int(part["correct"].sum()),
            "questions": part.height,
            "group": group_of(task),
            "acc": float(found["results"][task]["acc,none"]),
            "tied": ties(part["scores"]),
        }
        for task, part in ((task, samples.filter(pl.col("task") == task)) for task in exams.tasks)
    }
    for task, count in counts.items():
        log.info("%s: %d of %d", task, count["correct"], count["questions"])
        if count["tied"]:
            log.warning("%s: %d answers are ties between letters, where lm-eval takes the first", task, count["tied"])
        if abs(count["correct"] / count["questions"] - count["acc"]) > 1e-6:
            raise RuntimeError(f"the samples of {task} give a different accuracy than lm-eval: {count}")
    return {
        "tasks": counts,
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "seconds": round(time.monotonic() - began, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }, samples


def ties(scores: pl.Series) -> int:
    """How many questions have no single most likely letter: there the model does not choose, the order does."""
    return int((scores.list.eval(pl.element() == pl.element().max()).list.sum() > 1).sum())


def _row(task: str, sample: dict) -> dict:
    scores = [float(answer[0]) for answer in sample["filtered_resps"]]
    doc = sample["doc"]
    right, chosen = int(sample["target"]), scores.index(max(scores))
    return {
        "task": task,
        "number": sample["doc_id"],
        "hash": sample["doc_hash"],
        "question": doc.get("Question") or doc["question"],
        "answer": "ABCD"[right],
        "chosen": "ABCD"[chosen],
        "correct": right == chosen,
        "scores": scores,
    }
