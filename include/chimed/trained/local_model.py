"""A model in this process that one can talk with: a recipe's base or phase, or any checkpoint."""

import time
from dataclasses import replace
from pathlib import Path

from chimed.errors import UserError
from chimed.evaluate.answering import trained_phases
from chimed.evaluate.generate import Messages, Sampling, Writer, load, prompt_ids, stream
from chimed.evaluate.model import find_model, local_checkpoint
from chimed.llm.torch_environment import prepare
from chimed.release import find_release, releases
from chimed.storage import lake as lakes
from chimed.train import recipe as recipes
from chimed.trained.chat import Say, TooLong


class LocalModel:
    """A loaded model. name: what the user is told he talks with. seed: None draws each reply anew."""

    def __init__(self, name: str, writer: Writer, sampling: Sampling, seed: int | None) -> None:
        self.name, self.writer, self.sampling, self.seed = name, writer, sampling, seed

    def reply(self, messages: Messages, say: Say) -> str:
        """Return the reply, streamed. Raises TooLong."""
        ids = prompt_ids(self.writer, messages)
        if len(ids) + self.sampling.tokens > self.writer.context:
            raise TooLong
        seed = time.time_ns() % 2**31 if self.seed is None else self.seed
        return stream(self.writer, ids, replace(self.sampling, seed=seed), say).text


def open_model(
    phase: str | None, model: str | None, recipe: str, release: str, sampling: Sampling, seed: int | None
) -> LocalModel:
    """Load the model that is meant.

    model: a folder or a name of the hub; without it a phase of a recipe on a release, by default the last that is
    trained, or base. Raises UserError where there is none.
    """
    if model is not None:
        folder = Path(model).expanduser()
        if model.startswith((".", "/", "~")) and not (folder / "config.json").is_file():
            raise UserError(f"no checkpoint in {folder}: no config.json")
        prepare("chat", offline=folder.is_dir())
        checkpoint, revision = (str(folder) if folder.is_dir() else model), None
        name = checkpoint
    else:
        # the base model needs neither lake nor release, so one can talk with it before there is any
        lake = lakes.lake_at() if phase in (None, "base") else lakes.find_lake()
        recipe = recipes.known(recipe)
        chosen = phase or _last(lake, recipe, release)
        version = find_release(lake, release) if chosen != "base" or releases(lake) else ""
        found = find_model(lake, chosen, recipe, version, "chat", offline=True)
        checkpoint, revision = local_checkpoint(lake, found), found.commit
        name = f"{chosen} of {recipe}" + (f", release {version}" if chosen != "base" else "") + f" ({found.identity})"
    return LocalModel(name, load(checkpoint, revision, _dtype()), sampling, seed)


def _last(lake: lakes.Lake, recipe: str, release: str) -> str:
    """Return the last phase of a recipe that is trained on a release; base where none is."""
    done = trained_phases(lake, find_release(lake, release), recipe) if releases(lake) else []
    return done[-1] if done else "base"


def _dtype() -> str:
    """Return the checkpoint's own on a GPU; a CPU is faster in fp32."""
    import torch

    return "auto" if torch.cuda.is_available() else "float32"
