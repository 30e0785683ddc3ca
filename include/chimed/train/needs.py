"""Whether a recipe can be trained with the GPUs that the settings give, told before a run waits for them. Ours.

A pod asks for as many GPUs as its recipe says, and one that asks for more than there are is never scheduled. On one
machine fewer GPUs only take longer, but without any a model of the paper's size does not fit.
"""

from chimed.errors import UserError
from chimed.settings import Settings
from chimed.train import recipe as recipes


def fault(recipe: str, phase: str, chosen: Settings) -> str | None:
    """Return why a phase of a recipe cannot be trained with the settings' GPUs, and what to do; None where it can.

    Raises UserError where the recipe does not exist or is not valid.
    """
    fields, there = recipes.load(recipes.known(recipe), phase), chosen.gpus
    wanted = fields["gpus"]
    if chosen.compute == "kubernetes" and wanted > there:
        return (
            f"{phase} of {recipe} trains on {wanted} GPUs, and CHIMED_GPUS is {there}; "
            + (f"set gpus={there} in the run's settings, or " if there else "")
            + "raise CHIMED_GPUS and the pool gpus"
        )
    if chosen.compute == "local" and not there and needs_gpu(fields):
        return (
            f"{phase} of {recipe} needs a GPU, and CHIMED_GPUS is 0; choose a recipe for a processor (demo), or train "
            "in a cluster (CHIMED_COMPUTE=kubernetes)"
        )
    return None


def needs_gpu(fields: dict[str, object]) -> bool:
    """Return whether a recipe is made for GPUs: several, or a format that only they are fast in."""
    gpus = fields.get("gpus")
    return bool(fields.get("bf16") or fields.get("fp16") or (isinstance(gpus, int) and gpus > 1))


def wants_gpu(recipe: str) -> bool:
    """Return whether a phase of a recipe is made for GPUs."""
    return any(needs_gpu(recipes.load(recipe, phase)) for phase in recipes.phases_of(recipe))


def check(recipe: str, chosen: Settings) -> str:
    """Check that a recipe exists, is valid in every phase, and has the GPUs it needs; return what it takes.

    Raises UserError with what is wrong.
    """
    recipes.known(recipe)
    phases = recipes.phases_of(recipe)
    if lacking := [phase for phase in recipes.PHASES if phase not in phases]:
        raise UserError(
            f"recipe {recipe} has no {lacking[0]}.yaml; it needs one for each of {', '.join(recipes.PHASES)}"
        )
    for phase in phases:
        if wrong := fault(recipe, phase, chosen):
            raise UserError(wrong)
    most = max(recipes.load(recipe, phase)["gpus"] for phase in phases)
    return f"recipe {recipe} has {', '.join(phases)}, for {most} GPU{'s' * (most > 1)}"
