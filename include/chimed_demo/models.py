"""Train the demo's tiny models and cache them: `python -m chimed_demo.models [--cache DIR]`.

`gpt2` stands in for the paper's perplexity model, `generator` for the LLM of §3.2, and `judge` for the other LLM, which
ranks its answers. All are trained on the demo's own text in a few minutes, in two processes of one thread each. They
are cached by content, <cache>/<key>/<name>: other texts, prompts or lessons make other models.
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from chimed.llm import prompts
from chimed.settings import PROJECT
from chimed.text import two_steps

log = logging.getLogger("chimed")

CACHE = PROJECT / ".chimed" / "models"
HERE = Path(__file__).parent
CODE = (
    "lesson_texts.py",
    "lessons.py",
    "rating_lessons.py",
    "shady_lines.py",
    "tokens.py",
    "training.py",
    "two_step_lessons.py",
    "verdicts.py",
)
GROUPS = (("generator",), ("gpt2", "judge"))  # what one process trains
# prompts of which no lesson is made: those of the evaluation, and the one that is answered by choosing a wording
NOT_TAUGHT = ("compare_by_rubric", "meets_point", "two_steps")
NAMES = tuple(name for group in GROUPS for name in group)


def key() -> str:
    """Return 12 hex digits over everything that determines the models: the demo's texts, the prompts, the lessons'
    code.
    """
    files = [
        *sorted((HERE / "texts").glob("*.yaml")),
        *sorted(path for path in Path(prompts.__file__).parent.glob("*.yaml") if path.stem not in NOT_TAUGHT),
        *(HERE / name for name in CODE),
        *sorted(Path(two_steps.__file__).parent.glob("*.*")),  # the judge learns what they ask and answer
    ]
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def ready(cache: Path = CACHE) -> dict[str, Path] | None:
    """Return the folder of each model (absolute) if all of them match the current texts; else None."""
    folders = {name: cache.resolve() / key() / name for name in NAMES}
    return folders if all(folder.is_dir() for folder in folders.values()) else None


def make_all(cache: Path = CACHE) -> dict[str, Path]:
    """Train what the cache lacks, and return the folder of each model. Needs the environment with torch.

    A model is trained in a draft folder that is renamed when complete, so a killed run leaves no partial model.
    """
    from filelock import FileLock

    home = cache.resolve() / key()
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        missing = [tuple(name for name in group if not (home / name).is_dir()) for group in GROUPS]
        groups = [group for group in missing if group]
        if groups:
            # before torch is imported: a second thread would only spin against the other process
            os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(len(groups), mp_context=spawn) as pool:
                for done in [pool.submit(_make_group, group, home) for group in groups]:
                    done.result()
    return {name: home / name for name in NAMES}


def _make_group(names: tuple[str, ...], home: Path) -> None:
    from chimed_demo.training import make

    _log_to_stderr()
    for name in names:
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
        try:
            make(name, draft, log.info)
            draft.chmod(0o755)
            draft.rename(home / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def main() -> None:
    """Train the models, log progress to stderr, and print their folders as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m chimed_demo.models", description="Make the demo's tiny models.")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where they are kept (default {CACHE})")
    cache = parser.parse_args().cache
    _log_to_stderr()
    started = time.monotonic()
    folders = ready(cache)
    if folders is None:
        log.info("training the demo's tiny models: one to four minutes on two cores, once")
        folders = make_all(cache)
        log.info("models made in %.0f seconds", time.monotonic() - started)
    print(json.dumps({name: str(folder) for name, folder in folders.items()}))


if __name__ == "__main__":
    main()
