"""One run: which phase of which recipe on which release, where it starts and where it writes (paper §4)."""

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.release.file_names import table_files
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.train import general_data
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint, same_model
from chimed.train.recipe import PHASES as PHASES

# the release's subset that a phase reads; grpo reads exam items, and questions of the subset sft
SUBSET = {"cpt": "pretrain", "sft": "sft", "dpo": "preference", "kto": "preference", "orpo": "preference"}
# and where a recipe says `reasoning: true`, its answers that begin with a thought
REASONING = "reasoning"


@dataclass(frozen=True)
class Run:
    """What a phase's `train` needs; paths are of this machine.

    start: folder or hub name of the checkpoint it begins with. start_model: what that is, by content, as it was read.
    fields: the recipe. rows: parquet files by split. folder: where it works. place: where that lies in the lake.
    report: of the run, if it is finished. revision: the commit of a start that lies on the hub. base_model: what the
    first phase started from, by content. mixed: what general data are mixed in, by content, as their source is now.
    """

    lake: Lake
    phase: str
    recipe: str
    release: str
    start: str
    start_model: str
    fields: dict[str, Any]
    rows: dict[str, list[Path]]
    folder: Path
    place: str
    report: dict[str, Any] | None
    revision: str | None = None
    base_model: str = ""
    mixed: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """What makes this run this run; kept in run.json, so that no other is continued in its folder by mistake."""
        about = {
            "phase": self.phase,
            "recipe": recipes.placed(self.recipe, self.phase),
            "release": self.release,
            "start": self.start,
            "start_model": self.start_model,
            "base_model": self.base_model,
            "fields": self.fields,
        }
        return about | ({"mixed": self.mixed} if self.mixed else {})


def place_of(release: str, recipe: str, phase: str) -> str:
    """Return where a phase's model lies in the lake. recipe: a name, with overrides or without."""
    return layout.models(release, recipes.placed(recipe, phase), phase)


def base_name(recipe: str, base_checkpoint: str | None) -> str:
    """Return what a recipe starts from as it is named, a folder or a name of the hub. Raises UserError for none."""
    start = base_checkpoint or recipes.load(recipe, PHASES[0]).get("model_name_or_path")
    if not start:
        raise UserError(f"recipe {recipe} names no model; set CHIMED_BASE_CHECKPOINT to a checkpoint's folder")
    return start


def is_path(start: str) -> bool:
    """Tell whether the name of a checkpoint is a folder's; else it is one of the hub."""
    return start.startswith((".", "/", "~"))


def base_of(recipe: str, base_checkpoint: str | None) -> str:
    """Return the checkpoint a recipe starts from: `CHIMED_BASE_CHECKPOINT`, or its own. Raises UserError for none."""
    start = base_name(recipe, base_checkpoint)
    if is_path(start):
        folder = Path(start).expanduser().resolve()
        if not (folder / "config.json").is_file():
            raise UserError(f"no checkpoint in {folder} (CHIMED_BASE_CHECKPOINT or model_name_or_path): no config.json")
        return str(folder)
    return start


def open_run(lake: Lake, phase: str, recipe: str, release: str, base_checkpoint: str | None) -> Run:
    """Open a run, new, killed or finished. Raises UserError where the phase before is not done or settings changed."""
    place, fields = place_of(release, recipe, phase), recipes.load(recipe, phase)
    done = lakes.read_json(lake, f"{place}/{layout.REPORT}") if lakes.exists(lake, f"{place}/{layout.REPORT}") else None
    before = recipes.before_of(recipe, phase)
    if before is None:
        start = base_of(recipe, base_checkpoint)
        model = base = _base_model(lake, place, start, fields)
    else:
        known = trained(lake, release, recipe, before)
        model, base = known["fingerprint"], known.get("base_model", known["start_model"] if before == "cpt" else "")
        start = f"{place_of(release, recipe, before)}/merged"
        start = lake.at(start) if done is not None else _read_model(lake, start, model)
    revision = None if Path(start).is_dir() or "@" not in model else model.rsplit("@", 1)[1]
    rows, names = {}, lakes.files(lake, layout.release(release)) if done is None else []
    for split in ("train", "validation") if phase in SUBSET and done is None else ():
        subsets = (SUBSET[phase], *((REASONING,) if phase == "sft" and fields.get("reasoning") else ()))
        found = table_files(names)
        if split == "train" and REASONING in subsets and not found[f"{REASONING}/train"]:
            raise UserError(f"release {release} has no rows in {REASONING}/train; take reasoning out of the recipe")
        paths = [layout.release(release, name) for subset in subsets for name in found[f"{subset}/{split}"]]
        if paths and (split == "train" or sum(lakes.count_rows(lake, path) for path in paths)):
            rows[split] = [copies.local_path(lake, path) for path in paths]  # a small release may hold no row back
    folder = Path(lake.at(place))
    if not lakes.is_local(lake.fs):
        folder = private_folder("training", copies.local_name(lake), place)
    mixed = _mixed(lake, place, fields, done)
    run = Run(lake, phase, recipe, release, start, model, fields, rows, folder, place, done, revision, base, mixed)
    begun = _same_run(run)
    if done is None and not lakes.is_local(lake.fs) and _first_here():
        _clear_of_others(folder, begun)
    return run


def _base_model(lake: Lake, place: str, start: str, fields: dict[str, Any]) -> str:
    """Return what the base model is, by content. One of the hub is pinned when its first phase begins."""
    known = str(lakes.read_json(lake, f"{place}/run.json")["start_model"]) if _begun(lake, place) else ""
    if Path(start).is_dir():
        return known if known and same_model(known, start) else fingerprint(start)
    if known and (known == start or known.startswith(f"{start}@")):
        return known
    return fingerprint(start, fields.get("model_revision"))


def _mixed(lake: Lake, place: str, fields: dict[str, Any], done: dict[str, Any] | None) -> str:
    """Return what the recipe mixes in, by content; of the hub, the commit that the run began with."""
    if not fields.get("mix"):
        return ""
    if done is not None:
        return str(done.get("mixed", ""))
    begun = str(lakes.read_json(lake, f"{place}/run.json").get("mixed", "")) if _begun(lake, place) else ""
    return general_data.what_it_is(lake, fields, begun)


def _begun(lake: Lake, place: str) -> bool:
    return lakes.exists(lake, f"{place}/run.json")


def _read_model(lake: Lake, path: str, wanted: str) -> str:
    """Return a folder of this machine with a model of the lake, which was read and has the fingerprint `wanted`.

    Raises UserError where what lies in the lake is another.
    """
    copy = copies.local_path(lake, path)
    if not _first_here() or same_model(wanted, str(copy)):
        return str(copy)
    copies.remove_local(lake, path)  # a copy may have been damaged here
    copy = copies.local_path(lake, path)
    if not same_model(wanted, str(copy)):
        raise UserError(
            f"{lake.at(path)} is not the model of its report: it is {fingerprint(str(copy))}, the report beside it "
            f"says {wanted}; move that phase's folder away and train it anew"
        )
    return str(copy)


def _first_here() -> bool:
    """Tell whether this is the only process on this machine, or the first of several that train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _clear_of_others(folder: Path, begun: str) -> None:
    """Empty the working folder if it holds another run, as one whose place in the lake was moved away since."""
    note = folder / "begun.json"
    if folder.exists() and (not note.exists() or json.loads(note.read_text()) != begun):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(begun))


def trained(lake: Lake, release: str, recipe: str, phase: str) -> dict[str, Any]:
    """Return the report of a finished phase. Raises UserError where it is not finished."""
    path = f"{place_of(release, recipe, phase)}/{layout.REPORT}"
    if not lakes.exists(lake, path):
        raise UserError(
            f"{phase} of {recipe} has not been trained on release {release}; "
            f"run: python -m chimed train {phase} --recipe {recipe} --release {release}"
        )
    return lakes.read_json(lake, path)


def _same_run(run: Run) -> str:
    """Write run.json, or raise UserError where the folder holds a run of another model or other settings.

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
    free = recipes.free_fields(run.phase, run.fields)
    before, now = _flat(known, free), _flat(run.about, free)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise UserError(
            f"{run.lake.at(run.place)} was trained with a different {', '.join(changed)}; "
            "move that folder away to train again, or restore the old value"
        )
    return known.get("begun", "")


def keep_rows_at_once(run: Run, processes: int, per_device: int, resumed: bool) -> None:
    """Keep in run.json how many rows are taken at once, which the result of the phases `BY_ROWS` depends on.

    resumed: whether the run goes on from a checkpoint. Raises UserError where that was made with other rows at once.
    """
    path, now = f"{run.place}/run.json", {"processes": processes, "per_device": per_device}
    known = lakes.read_json(run.lake, path)
    before = known.get("at_once")  # an earlier version kept none
    if resumed and before and before != now:
        raise UserError(
            f"{run.lake.at(run.place)} was begun in {before['processes']} processes of {before['per_device']} rows at "
            f"once, and now they are {processes} of {per_device}; what {run.phase} learns depends on that: use "
            f"--processes {before['processes']}, or move that folder away to train again"
        )
    if before != now and os.environ.get("RANK", "0") == "0":
        lakes.write_json(run.lake, path, known | {"at_once": now})


def _flat(about: dict[str, Any], free: tuple[str, ...]) -> dict[str, Any]:
    """Return what must stay the same: not where a model lies, nor what does not change the result (`free`)."""
    known = about | about["fields"]
    left = ("fields", "start", "base_model", "begun", "at_once", "mix_revision", *free)
    return {name: value for name, value in known.items() if name not in left}
