"""Where a run can be watched beside its metrics.jsonl: what a recipe's `report_to` names, TensorBoard by default."""

import importlib
import netrc
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chimed.errors import UserError

# The packages of the trackers that TRL's users name in `report_to`
TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}
WANDB = "api.wandb.ai"


def trackers(fields: dict[str, Any], folder: Path, where: str) -> list[str]:
    """Return the trackers of a run in `folder`; TensorBoard, where it is installed, if the recipe names none.

    TensorBoard and Trackio write into the run's folder, and into the lake at each checkpoint. Raises UserError for one
    that is not known, not installed, or has no key.
    """
    asked = fields.get("report_to")
    if asked is None:
        asked = ["tensorboard"] if find_spec("tensorboard") else []
    named = [asked] if isinstance(asked, str) else list(asked)
    if named == ["none"]:
        named = []
    for name in named:
        if name not in TRACKERS:
            raise UserError(f"{where}: report_to {name!r} is not supported; choose from: none, {', '.join(TRACKERS)}")
        if not find_spec(TRACKERS[name]):
            raise UserError(f"{where}: report_to names {name}, which is not installed here; install it, or write none")
    if "wandb" in named and not _wandb_may_log():
        raise UserError(
            f"{where}: report_to names wandb, and no key is here; set WANDB_API_KEY, or WANDB_MODE=offline for later"
        )
    os.environ.setdefault("WANDB_PROJECT", "chimed")
    if "tensorboard" in named:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
    if "trackio" in named:
        os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    return named


def close(named: list[str]) -> None:
    """End the run at trackers that would else do so when Python ends, and print then."""
    for name in named:
        if name in ("trackio", "wandb"):
            importlib.import_module(name).finish()


def _wandb_may_log() -> bool:
    """Tell whether Weights & Biases can log without asking for a key, which nobody would answer."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    try:
        return WANDB in netrc.netrc(Path("~/.netrc").expanduser()).hosts
    except (OSError, netrc.NetrcParseError):
        return False
