"""One run: which phase of which recipe on which release, where it starts and where it writes (paper §4)."""

import os
from dataclasses import dataclass
from pathlib import Path

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.lake import Lake
from chimed.private import private_folder
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint
from chimed.train.recipe import PHASES

# the release's subset that a phase reads
SUBSET = {"cpt": "pretrain", "sft": "sft", "dpo": "preference"}


@dataclass(frozen=True)
class Run:
    """What a phase's `train` needs; paths are of this machine.

    start: folder or hub name of the checkpoint it begins with. start_model: what that is, by content. fields: the
    recipe. rows: parquet files by split. folder: where it works. place: where that lies in the lake. report: of the
    run, if it is finished.
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

    @property
    def about(self) -> dict:
        """What makes this run this run; kept in run.json, so that no other is continued in its folder by mistake."""
        return {
            "phase": self.phase,
            "recipe": self.recipe,
            "release": self.release,
            "start": self.start,
            "start_model": self.start_model,
            "fields": self.fields,
        }


def place_of(release: str, recipe: str, phase: str) -> str:
    """Where a phase's model lies in the lake."""
    return f"models/{release}/{recipe}/{phase}"


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
    place = place_of(release, recipe, phase)
    done = lakes.read_json(lake, f"{place}/report.json") if lakes.exists(lake, f"{place}/report.json") else None
    if phase == PHASES[0]:
        start = base_of(recipe, base_checkpoint)
        model = fingerprint(start) if Path(start).is_dir() else start
    else:
        before = PHASES[PHASES.index(phase) - 1]
        model = trained(lake, release, recipe, before)["fingerprint"]
        start = f"{place_of(release, recipe, before)}/merged"
        start = str(lakes.local_path(lake, start)) if done is None else lake.at(start)
    rows = {}
    for split in ("train", "validation"):
        file = f"releases/{release}/{SUBSET[phase]}/{split}.parquet"
        if done is None and lakes.exists(lake, file):
            path = lakes.local_path(lake, file)
            if split == "train" or lakes.count_rows(lake, file):  # a small release may hold no row back
                rows[split] = path
    folder = Path(lake.at(place))
    if not lakes.is_local(lake.fs):
        folder = private_folder("training", place)
    run = Run(lake, phase, recipe, release, start, model, recipes.load(recipe, phase), rows, folder, place, done)
    _same_run(run)
    return run


def trained(lake: Lake, release: str, recipe: str, phase: str) -> dict:
    """The report of a finished phase. Raises UserError where it is not finished."""
    path = f"{place_of(release, recipe, phase)}/report.json"
    if not lakes.exists(lake, path):
        raise UserError(
            f"{phase} of {recipe} has not been trained on release {release}; "
            f"run: python -m chimed train {phase} --recipe {recipe} --release {release}"
        )
    return lakes.read_json(lake, path)


def _same_run(run: Run) -> None:
    """Writes run.json, or raises UserError where the folder holds a run of another model or other settings."""
    path = f"{run.place}/run.json"
    if not lakes.exists(run.lake, path):
        # of several processes only the first may write
        if os.environ.get("RANK", "0") == "0":
            lakes.write_json(run.lake, path, run.about)
        return
    before, now = _flat(lakes.read_json(run.lake, path)), _flat(run.about)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise UserError(
            f"{run.lake.at(run.place)} was trained with a different {', '.join(changed)}; "
            "move that folder away to train again, or restore the old value"
        )


def _flat(about: dict) -> dict:
    """What must stay the same; where a model lies and how many GPUs share the batch may change."""
    known = about | about["fields"]
    return {name: value for name, value in known.items() if name not in ("fields", "start", "gpus")}
