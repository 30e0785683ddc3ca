"""What must hold before torch is imported: that it is there, and that it keeps to lines and to this machine."""

import os
from importlib.util import find_spec

from chimed.errors import UserError
from chimed.settings import settings

QUIET = {
    "TQDM_DISABLE": "1",
    "TQDM_MININTERVAL": "60",  # a bar that is drawn all the same says a line a minute at most
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def prepare(command: str, offline: bool) -> None:
    """Lines instead of bars; no look at the hub where all that `command` needs lies here.

    Raises UserError in an environment without torch.
    """
    if find_spec("torch") is None:
        raise UserError(
            "no torch here: this runs in the models' environment, "
            f"{settings().models_python} -m chimed {command} … (CHIMED_MODELS_PYTHON)"
        )
    for name, value in (QUIET | (OFFLINE if offline else {})).items():
        os.environ.setdefault(name, value)
