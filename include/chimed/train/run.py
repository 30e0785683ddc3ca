"""One run: which phase of which recipe on which release, where it starts and where it writes (paper §4)."""

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint
from chimed.train.recipe import PHASES

# the release's subset that a phase reads
SUBSET = {"cpt": "pretrain", "sft": "sft", "dpo": "preference"}

# Fields of a recipe that say how the work is done and what is told of it; the model that comes out is the same.
FREE = (
    *("gpus", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_checkpointing"),
    *("most_lost", "most_cut", "dataset_num_proc", "dataloader_num_workers", "dataloader_pin_memory", "ddp_timeout"),
    *("logging_steps", "save_steps", "save_total_limit", "eval_steps", "report_to", "run_name"),
)


@dataclass(frozen=True)
class Run:
    """What a phase's `train` needs; paths are of this machine.

    start: folder or hub name of the checkpoint it begins with. start_model: what that is, by content, as it was read.
    fields: the recipe. rows: parquet files by split. folder: where it works. place: where that lies in the lake.
    report: of the run, if it is finished. revision: the commit of a start that lies on the hub. base_model: what the
    first phase started from, by content.
    """

    lake: Lake
    phase: str
    recipe: str
    release: str
    start: str
    start_model: str
    fields: dict
    rows: dict[str, Path]
    folder: Path
    place: str
    report: dict | None
    revision: str | None = None
    base_model: str = ""

    @property
    def about(self) -> dict:
        """What makes this run this run; kept in run.json, so that no other is continued in its folder by mistake."""
        return {
            "phase": self.phase,
            "recipe": self.recipe,
            "release": self.release,
            "start": self.start,
            "start_model": self.start_model,
            "base_model": self.base_model,
            "fields": self.fields,
        }


def place_of(release: str, recipe: str, phase: str) -> str:
    """Where a phase's model lies in the lake."""
    return layout.models(release, recipe, phase)


def base_of(recipe: str, base_checkpoint: str | None) -> str:
    """The checkpoint a recipe starts from: `CHIMED_BASE_CHECKPOINT`, or the recipe's own. Raises UserError for none."""
    start = base_checkpoint or recipes.load(recipe, "cpt").get("model_name_or_path")
    if not start:
        raise UserError(f"recipe {recipe} names no model; set CHIMED_BASE_CHECKPOINT to a checkpoint's folder")
    if start.startswith((".", "/", "~")):
        folder = Path(start).expanduser().resolve()
        if not (folder / "config.json").is_file():
            raise UserError(f"no checkpoint in {folder} (CHIMED_BASE_CHECKPOINT or model_name_or_path): no config.json")
        return str(folder)
    return start


def open_run(lake: Lake, phase: str, recipe: str, release: str, base_checkpoint: str | None) -> Run:
    """A run, new, killed or finished. Raises UserError where the phase before is not done or settings have changed."""
    place, fields = place_of(release, recipe, phase), recipes.load(recipe, phase)
    done = lakes.read_json(lake, f"{place}/{layout.REPORT}") if lakes.exists(lake, f"{place}/{layout.REPORT}") else None
    if phase == PHASES[0]:
        start = base_of(recipe, base_checkpoint)
        model = base = _base_model(lake, place, start, fields)
    else:
        before = PHASES[PHASES.index(phase) - 1]
        known = trained(lake, release, recipe, before)
        model, base = known["fingerprint"], known.get("base_model", known["start_model"] if before == "cpt" else "")
        start = f"{place_of(release, recipe, before)}/merged"
        start = lake.at(start) if done is not None else _read_model(lake, start, model)
    revision = None if Path(start).is_dir() or "@" not in model else model.rsplit("@", 1)[1]
    rows = {}
    for split in ("train", "validation"):
        file = layout.release(release, SUBSET[phase], f"{split}.parquet")
        if done is None and lakes.exists(lake, file):
            path = lakes.local_path(lake, file)
            if split == "train" or lakes.count_rows(lake, file):  # a small release may hold no row back
                rows[split] = path
    folder = Path(lake.at(place))
    if not lakes.is_local(lake.fs):
        folder = private_folder("training", lakes.named(lake), place)
    run = Run(lake, phase, recipe, release, start, model, fields, rows, folder, place, done, revision, base)
    begun = _same_run(run)
    if done is None and not lakes.is_local(lake.fs) and _first_here():
        _clear_of_others(folder, begun)
    return run


def _base_model(lake: Lake, place: str, start: str, fields: dict) -> str:
    """What the base model is, by content. One of the hub is pinned when its first phase begins: later it is that."""
    if Path(start).is_dir():
        return fingerprint(start)
    if lakes.exists(lake, f"{place}/run.json"):
        known = str(lakes.read_json(lake, f"{place}/run.json")["start_model"])
        if known == start or known.startswith(f"{start}@"):
            return known
    return fingerprint(start, fields.get("model_revision"))


def _read_model(lake: Lake, path: str, wanted: str) -> str:
    """A folder of this machine with a model of the lake, which was read and has the fingerprint `wanted`.

    Raises UserError where what lies in the lake is another.
    """
    copy = lakes.local_path(lake, path)
    if not _first_here() or fingerprint(str(copy)) == wanted:
        return str(copy)
    lakes.forget_local(lake, path)  # a copy may have been damaged here
    copy = lakes.local_path(lake, path)
    if (found := fingerprint(str(copy))) != wanted:
        raise UserError(
            f"{lake.at(path)} is not the model of its report: it is {found}, the report beside it says {wanted}; "
            "move that phase's folder away and train it anew"
        )
    return str(copy)


def _first_here() -> bool:
    """Whether this is the only process on this machine, or the first of several that train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _clear_of_others(folder: Path, begun: str) -> None:
    """Empties the working folder if it holds another run, as one whose place in the lake was moved away since."""
    note = folder / "begun.json"
    if folder.exists() and (not note.exists() or json.loads(note.read_text()) != begun):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(begun))


def trained(lake: Lake, release: str, recipe: str, phase: str) -> dict:
    """The report of a finished phase. Raises UserError where it is not finished."""
    path = f"{place_of(release, recipe, phase)}/{layout.REPORT}"
    if not lakes.exists(lake, path):
        raise UserError(
            f"{phase} of {recipe} has not been trained on release {release}; "
            f"run: python -m chimed train {phase} --recipe {recipe} --release {release}"
        )
    return lakes.read_json(lake, path)


def _same_run(run: Run) -> str:
    """Writes run.json, or raises UserError where the folder holds a run of another model or other settings.

    Returns the name of this beginning of the run: one begun anew in the same place has another.
    """
    path = f"{run.place}/run.json"
    if not lakes.exists(run.lake, path):
        begun = uuid.uuid4().hex
        # of several processes only the first may write
        if os.environ.get("RANK", "0") == "0":
            lakes.write_json(run.lake, path, run.about | {"begun": begun})
        return begun
    known = lakes.read_json(run.lake, path)
    before, now = _flat(known), _flat(run.about)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise UserError(
            f"{run.lake.at(run.place)} was trained with a different {', '.join(changed)}; "
            "move that folder away to train again, or restore the old value"
        )
    return known.get("begun", "")


def _flat(about: dict) -> dict:
    """What must stay the same: not where a model lies, nor what does not change the result (`FREE`)."""
    known = about | about["fields"]
    left = ("fields", "start", "base_model", "begun", *FREE)
    return {name: value for name, value in known.items() if name not in left}
