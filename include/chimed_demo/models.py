"""The tiny models of the embedded default, made on the spot and kept: `python -m chimed_demo.models [--cache DIR]`.

`gpt2` stands in for the paper's perplexity model, `generator` for the LLM of §3.2, `judge` for the other one that
ranks its answers. All are trained from the demo's own text in a few minutes, in two processes of one thread each.
They are kept by content, <cache>/<key>/<name>: other texts, prompts or lessons make other models.
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

log = logging.getLogger("chimed")

CACHE = PROJECT / ".chimed" / "models"
HERE = Path(__file__).parent
CODE = ("lesson_texts.py", "lessons.py", "shady_lines.py", "tokens.py", "training.py", "verdicts.py")
GROUPS = (("generator",), ("gpt2", "judge"))  # what one process trains
NAMES = tuple(name for group in GROUPS for name in group)


def key() -> str:
    """12 hex digits over all that shapes the models: the demo's texts, the prompts, the code of the lessons."""
    files = [
        *sorted((HERE / "texts").glob("*.yaml")),
        *sorted(Path(prompts.__file__).parent.glob("*.yaml")),
        *(HERE / name for name in CODE),
    ]
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def ready(cache: Path = CACHE) -> dict[str, Path] | None:
    """Folder of each model (absolute), if all of them are made from what the texts say today; else None."""
    folders = {name: cache.resolve() / key() / name for name in NAMES}
    return folders if all(folder.is_dir() for folder in folders.values()) else None


def make_all(cache: Path = CACHE) -> dict[str, Path]:
    """Trains what the cache lacks and returns the folder of each model. Needs the environment with torch.

    A model is trained in a draft folder and renamed when whole: a killed run leaves no half of one.
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
    """Makes the models, says how it goes on stderr, and prints their folders as one JSON line."""
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
