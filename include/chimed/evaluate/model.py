"""Which model is meant: the base of a recipe or one of its phases, where its weights lie, and what it is by content."""

from dataclasses import dataclass
from pathlib import Path

from chimed.errors import choose
from chimed.llm.torch_environment import prepare
from chimed.settings import settings
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint, same_model
from chimed.train.recipe import EVERY_PHASE, PHASES
from chimed.train.run import base_of, place_of, trained

MODELS = ("base", *EVERY_PHASE)


@dataclass(frozen=True)
class Model:
    """A recipe's base or phase. checkpoint: a folder, a name of the hub, or a place in the lake.

    identity: what it is, by content. base: what it was trained from, by content.
    """

    phase: str
    recipe: str
    release: str
    checkpoint: str
    identity: str
    base: str

    @property
    def place(self) -> str:
        """Where its score lies in the lake."""
        return layout.scores(self.release, self.recipe, self.phase)

    @property
    def commit(self) -> str | None:
        """The commit of a base model that lies on the hub."""
        return self.identity.rsplit("@", 1)[1] if self.phase == "base" and "@" in self.identity else None


def find_model(lake: Lake, phase: str, recipe: str, release: str, command: str, offline: bool) -> Model:
    """Find the base model of a recipe or a trained phase; also tell the hub's libraries whether they may ask it.

    command: what a user is told to run elsewhere where torch is not installed. offline: whether nothing but the model
    could lie on the hub. Raises UserError for an unknown phase, or one that is not trained.
    """
    choose("phase", phase, MODELS)
    if phase == "base":
        checkpoint = base_of(recipe, settings().base_checkpoint)
        prepare(command, offline=offline and Path(checkpoint).is_dir())
        identity = _base_model(lake, place_of(release, recipe, PHASES[0]), recipe, checkpoint)
        return Model(phase, recipe, release, checkpoint, identity, identity)
    report = trained(lake, release, recipe, phase)
    prepare(command, offline=offline)
    checkpoint = f"{place_of(release, recipe, phase)}/merged"
    return Model(phase, recipe, release, checkpoint, report["fingerprint"], report.get("base_model", ""))


def local_checkpoint(lake: Lake, model: Model) -> str:
    """Return what a library loads a model from: a folder of this machine, or a base model's name on the hub."""
    return model.checkpoint if model.phase == "base" else str(copies.local_path(lake, model.checkpoint))


def _base_model(lake: Lake, begun: str, recipe: str, checkpoint: str) -> str:
    """Return the base model's identity; one of the hub is the commit that training began with, if it has begun."""
    if lakes.exists(lake, f"{begun}/run.json"):
        known = str(lakes.read_json(lake, f"{begun}/run.json")["start_model"])
        if known.startswith(f"{checkpoint}@") or (Path(checkpoint).is_dir() and same_model(known, checkpoint)):
            return known
    return fingerprint(checkpoint, recipes.load(recipe, PHASES[0]).get("model_revision"))
