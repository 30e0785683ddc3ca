"""What this machine can do, by its processors, memory and GPUs: a line of `python -m chimed check`. Ours."""

import os
import shutil
import subprocess
from pathlib import Path

from chimed.llm import servers
from chimed.settings import Settings

SECONDS = 20  # for what the driver is asked
NEEDED = 40  # GiB of a GPU's memory from which on the paper's recipes and the default model servers fit: A40, 48 GB
RAM = 16  # GiB of memory below which a build of the paper's size does not fit beside Airflow


def gpus() -> list[tuple[str, int]]:
    """Return the GPUs that this process may use: name and GiB of memory; none where the driver does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rsplit(",", 1) for line in said.splitlines() if "," in line]
    found = [(name.strip(), int(memory) // 1024) for name, memory in rows if memory.strip().isdigit()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if visible is None else found[: len([one for one in visible.split(",") if one.strip()])]


def disks(chosen: Settings) -> dict[str, Path]:
    """Return the folders of this machine that work writes to, by the setting or variable that names each."""
    found = {"CHIMED_SCRATCH": Path(chosen.scratch)}
    if "://" not in chosen.data:
        found["CHIMED_DATA"] = Path(chosen.data)
    if chosen.store.startswith("sqlite:///"):
        found["CHIMED_STORE"] = Path(chosen.store.removeprefix("sqlite:///"))
    if chosen.compute == "local" and Path(chosen.models_python).exists():  # where weights of the hub are downloaded to
        found["HF_HOME"] = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    return found


def usage(folder: Path) -> tuple[int, int, int]:
    """Return (device, bytes, free bytes) of the disk on which a folder lies, or will lie where it is not there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    found = shutil.disk_usage(there)
    return there.stat().st_dev, found.total, found.free


def memory() -> float:
    """Return GiB of memory, of the container where it has a limit."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    said = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return (min(total, int(said)) if said.isdigit() else total) / 1024**3


def told(chosen: Settings) -> str:
    """Return what this machine has, and which work it can do by itself."""
    cores, ram, cards = len(os.sched_getaffinity(0)), memory(), gpus()
    parts = [f"{cores} processors, {ram:.0f} GiB of memory, {_cards(cards)}"]
    parts.append("can crawl and build" if ram >= RAM else f"can crawl and make small builds (below {RAM} GiB)")
    big = [one for one in cards if one[1] >= NEEDED]
    if Path(chosen.models_python).exists():
        parts.append(
            "scores perplexity, trains and evaluates " + (_recipes(len(big)) if big else "small recipes (demo)")
        )
    else:
        parts.append("has no models' environment: perplexity, training and evaluation run elsewhere")
    if chosen.serve == "local" and big:
        generates, judges = servers.checkpoints(chosen)
        parts.append(f"can serve {generates} and {judges}")
    elif not big:
        parts.append("serves no model of the paper's size: CHIMED_LLM_URL and CHIMED_JUDGE_URL may be anyone's servers")
    return "; ".join(parts)


def _cards(cards: list[tuple[str, int]]) -> str:
    if not cards:
        return "no GPU"
    names = sorted({f"{name} of {memory} GiB" for name, memory in cards})
    return f"{len(cards)} GPU{'s' * (len(cards) > 1)}: {', '.join(names)}"


def _recipes(cards: int) -> str:
    """Return which recipes can be trained. On fewer than eight GPUs, accumulation keeps the batch the same."""
    return "qwen3-1.7b and qwen3-14b" + ("" if cards >= 8 else f" ({8 / cards:.0f} times as long as on 8 GPUs)")
