"""What base and phases answer to the same questions, kept side by side in the lake. Ours.

    python -m chimed answer --recipe qwen3-1.7b --release latest

Written to `answers/<release>/<recipe>/<set>/`: `<model>.parquet`, one row a question, and `<model>.json`, written last:
it means done. Answers are greedy, or drawn with a seed; they are made again when model, questions or sampling change.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from chimed.characters import storable
from chimed.errors import UserError, WorkStopped, choose
from chimed.evaluate.model import MODELS, Model, find_model, local_checkpoint
from chimed.evaluate.questions import QuestionSet
from chimed.evaluate.questions import load as load_set
from chimed.llm.torch_environment import prepare
from chimed.release import find_release
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.run import place_of

if TYPE_CHECKING:  # torch is not everywhere
    from chimed.evaluate.generate import Sampling

log = logging.getLogger("chimed")

BATCH = 16  # questions answered at once
ANSWERS = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("kind", pa.string(), False),
        pa.field("question", pa.string(), False),
        pa.field("answer", pa.string(), False),
        # tokens of the answer; whether the model ended it, or the limit cut it
        pa.field("tokens", pa.int32(), False),
        pa.field("whole", pa.bool_(), False),
    ]
)


def answer_questions(
    recipe: str, release: str, models: Sequence[str], sets: Sequence[str], sampling: "Sampling"
) -> dict[str, Any]:
    """Have models of a recipe answer sets of questions; return each one's report by set and model.

    models: of `MODELS`; by default base and every trained phase. sets: names of the project's sets, or paths. What is
    answered already is not answered again. Raises UserError for an unknown model or set, or an untrained phase.
    """
    prepare("answer", offline=False)
    recipe = recipes.told_apart(recipe)
    chosen = [load_set(name) for name in dict.fromkeys(sets)]
    lake = lakes.find_lake()
    release = find_release(lake, release)
    wanted = [choose("model", one, MODELS) for one in models] or ["base", *trained_phases(lake, release, recipe)]
    found = [find_model(lake, one, recipe, release, "answer", offline=True) for one in dict.fromkeys(wanted)]
    said: dict[str, Any] = {one.name: {} for one in chosen}
    for model in found:
        left = []
        for questions in chosen:
            key = _key(model, questions, sampling)
            known = read_report(lake, place(release, recipe, questions.name, model.phase))
            if known is not None and known["key"] == key:
                log.info("%s has answered %s already", model.phase, questions.name)
                said[questions.name][model.phase] = known
            else:
                left.append((questions, key))
        if left:
            for name, report in _answered(lake, model, left, sampling).items():
                said[name][model.phase] = report
    return {"release": release, "recipe": recipe, "sets": said}


def trained_phases(lake: Lake, release: str, recipe: str) -> list[str]:
    """Return the phases of a recipe that are trained on a release, in their order."""
    done = (one for one in MODELS[1:] if one in recipes.phases_of(recipe))
    return [one for one in done if lakes.exists(lake, f"{place_of(release, recipe, one)}/{layout.REPORT}")]


def place(release: str, recipe: str, of: str, model: str) -> str:
    """Return where a model's answers to a set lie, without their ending."""
    return layout.answers(release, recipe, of, model)


def read_report(lake: Lake, where: str) -> dict[str, Any] | None:
    """Return the report of a model's answers; None where there are none."""
    return lakes.read_json(lake, f"{where}.json") if lakes.exists(lake, f"{where}.json") else None


def read_answers(lake: Lake, release: str, recipe: str, of: str, models: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return the tables (`ANSWERS`) of those models that have answered a set."""
    places = {model: place(release, recipe, of, model) for model in models}
    return {
        model: lakes.read_table(lake, f"{where}.parquet")
        for model, where in places.items()
        if lakes.exists(lake, f"{where}.json")
    }


def read_judged(lake: Lake, release: str, recipe: str) -> dict[str, Any] | None:
    """Return what was judged of a recipe's answers; None where nothing was, or the answers are others since."""
    path = layout.answers(release, recipe, layout.JUDGED)
    if not lakes.exists(lake, path):
        return None
    known = lakes.read_json(lake, path)
    for of, models in known["answers"].items():
        for model, key in models.items():
            report = read_report(lake, place(release, recipe, of, model))
            if report is None or report["key"] != key:
                return None
    return known


def side_by_side(recipe: str, release: str, of: str) -> list[dict[str, Any]]:
    """Return each question of a set with what every model answered: id, kind, question, answers (by model).

    Raises UserError where nobody has answered it.
    """
    lake, recipe = lakes.find_lake(), recipes.told_apart(recipe)
    release = find_release(lake, release)
    name = load_set(of).name
    tables = read_answers(lake, release, recipe, name, MODELS)
    if not tables:
        raise UserError(
            f"nobody has answered {name} yet; run: python -m chimed answer --set {of} --recipe {recipe} "
            f"--release {release}"
        )
    return together(tables)


def together(tables: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Put the models' answers to the same question side by side; one that a model was not asked has no answer of it."""
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    for model, rows in tables.items():
        for row in rows.iter_rows(named=True):
            # a question that was reworded since one of them answered is another question
            one = asked.setdefault((row["id"], row["question"]), {**row, "answers": {}})
            one["answers"][model] = {name: row[name] for name in ("answer", "tokens", "whole")}
    return [{name: one[name] for name in ("id", "kind", "question", "answers")} for one in asked.values()]


def _key(model: Model, questions: QuestionSet, sampling: "Sampling") -> str:
    told = [model.identity, questions.content, asdict(sampling), BATCH]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _answered(
    lake: Lake, model: Model, left: Sequence[tuple[QuestionSet, str]], sampling: "Sampling"
) -> dict[str, dict[str, Any]]:
    """Load a model once and have it answer several sets; return their reports."""
    import torch

    from chimed import gpus
    from chimed.evaluate.generate import load, write

    gpu = torch.cuda.is_available()
    dtype = "auto" if gpu else "float32"
    reports = {}
    with gpus.held(f"answer as {model.phase} of {model.recipe}", 1):
        writer = load(local_checkpoint(lake, model), model.commit, dtype)
        for questions, key in left:
            began = time.monotonic()
            asked = [[{"role": "user", "content": one.question}] for one in questions.questions]
            written = list(write(writer, asked, sampling, BATCH))
            rows = [
                {
                    **{name: getattr(one, name) for name in ("id", "kind", "question")},
                    "answer": storable(said.text).strip(),
                    "tokens": said.tokens,
                    "whole": said.whole,
                }
                for one, said in zip(questions.questions, written, strict=True)
            ]
            if not any(row["answer"] for row in rows):
                raise WorkStopped(
                    f"{model.phase} of {model.recipe} answers nothing to any question of {questions.name}"
                )
            where = place(model.release, model.recipe, questions.name, model.phase)
            reports[questions.name] = {
                "key": key,
                "model": model.identity,
                "base_model": model.base,
                "questions": len(rows),
                "content": questions.content,
                "sampling": asdict(sampling),
                "cut": sum(not row["whole"] for row in rows),
                "empty": sum(not row["answer"] for row in rows),
                "device": torch.cuda.get_device_name() if gpu else "cpu",
                "seconds": round(time.monotonic() - began, 1),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            lakes.write_table(lake, f"{where}.parquet", pl.DataFrame(rows), ANSWERS)
            lakes.write_json(lake, f"{where}.json", reports[questions.name])
            log.info("%s answered %d questions of %s", model.phase, len(rows), questions.name)
    return reports
