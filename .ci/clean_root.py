"""Runs every RUN line of the Dockerfile in a clean Debian, where no container engine is at hand.

    python3 .ci/clean_root.py --stage airflow --root /var/tmp/chimed-root [--copy /etc/pip.conf]

As root, with debootstrap. It makes a root of Debian bookworm with its Python 3.11, the same version as the images', and
follows a stage's instructions there: RUN, COPY, ENV, USER and WORKDIR, those of the stage it stands on first. The base
images themselves are not to be had without an engine; what they bring that the lines use (a user, `pip`) is made here.
It ends with the commands that the deployment gives the image. Exit code 1 at the first line that fails.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
# What the base images bring: apache/airflow a user of that name, whose `pip` installs for itself; python a `python`.
BASES = {
    "apache/airflow": "useradd --create-home --home-dir /home/airflow --uid 50000 --gid 0 airflow && "
    "python3 -m venv /home/airflow/python && chown -R airflow /home/airflow/python && "
    "install --directory --owner=airflow --group=root /opt/airflow",
    "python": "python3 -m venv /usr/local --without-pip --system-site-packages && "
    "printf '#!/bin/sh\\nexec python3 -m pip \"$@\" --break-system-packages\\n' > /usr/local/bin/pip && "
    "chmod +x /usr/local/bin/pip",
}
PATHS = {"apache/airflow": "/home/airflow/python/bin", "python": "/usr/local/bin"}
USERS = {"apache/airflow": "airflow", "python": "root"}
CHECKS = {  # what a deployment runs in the image of a stage
    "airflow": [
        "airflow version",
        "python -m chimed --help",
        "REDIS_PASSWORD=a python -m chimed_airflow.addresses broker",
    ],
    "models": ["$CHIMED_MODELS_PYTHON -m chimed train --help", "$CHIMED_MODELS_PYTHON -c 'import torch, vllm'"],
    "gpu": ["python -m chimed --help", "python -c 'import torch, vllm'"],
}


@dataclass
class Stage:
    """A stage of the Dockerfile: what it stands on, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Place:
    """Where a line runs: as whom, in which folder, with which variables."""

    user: str
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict)


def stages(text: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name; lines that a backslash continues are one."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name.strip()] = Stage(base.strip())
        else:
            next(reversed(found.values())).steps.append((word, rest.strip()))
    return found


def steps(found: dict[str, Stage], name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the image that a stage stands on in the end, and all instructions from there on."""
    stage = found[name]
    if stage.base in found:
        base, before = steps(found, stage.base)
        return base, before + stage.steps
    return stage.base.split(":")[0], stage.steps


def bootstrap(root: Path, base: str, copied: list[Path]) -> None:
    """Make the root, unless it is there, with what the base image brings."""
    if not (root / "etc" / "debian_version").exists():
        argv = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), MIRROR]
        subprocess.run(argv, check=True)
    for file in [Path("/etc/resolv.conf"), *copied]:
        if file.exists():
            target = root / file.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target) if file.is_file() else shutil.copytree(file, target, dirs_exist_ok=True)
    note = root / "etc" / "chimed-base"
    if not note.exists():
        inside(root, BASES[base], Place("root"))
        note.write_text(base, encoding="utf-8")
    elif note.read_text(encoding="utf-8") != base:
        sys.exit(f"{root} was made for {note.read_text(encoding='utf-8')}; name another folder")


def inside(root: Path, line: str, place: Place) -> None:
    """Run a line in the root. Raises CalledProcessError."""
    kept = {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy") or name.startswith("PIP_")}
    home = "/root" if place.user == "root" else f"/home/{place.user}"
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": home, "LANG": "C.UTF-8"}
    given = [f"{name}={value}" for name, value in (variables | kept | place.variables).items()]
    script = f"cd {shlex.quote(place.folder)} && {line}"
    subprocess.run(
        ["chroot", f"--userspec={place.user}:0", str(root), "/usr/bin/env", "-i", *given, "/bin/sh", "-ec", script],
        check=True,
    )


def copy(root: Path, rest: str, place: Place) -> None:
    """Follow a COPY of this project's own files."""
    owner = re.search(r"--chown=(\w+)", rest)
    *sources, target = [part for part in rest.split() if not part.startswith("--")]
    for source in sources:
        here, there = PROJECT / source, root / target.lstrip("/")
        if here.is_dir():
            shutil.copytree(here, there, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            there = there / here.name if target.endswith("/") else there
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)
    if owner:
        inside(root, f"chown -R {owner[1]} {shlex.quote(target)}", Place("root"))


def follow(root: Path, base: str, instructions: list[tuple[str, str]]) -> Place:
    """Follow the instructions in the root; return where the last one left off."""
    place = Place(USERS[base], variables={"PATH": f"{PATHS[base]}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    for word, rest in instructions:
        print(f"--> {word} {rest[:160]}", flush=True)
        if word == "RUN":
            inside(root, rest, place)
        elif word == "COPY":
            copy(root, rest, place)
        elif word == "ENV":
            place.variables |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "USER":
            place.user = rest
        elif word == "WORKDIR":
            place.folder = rest
        elif word != "CMD":
            sys.exit(f"{word} is not known here; add it to {Path(__file__).name}")
    return place


def main() -> None:
    """Read the command line and run a stage."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found = stages((PROJECT / "Dockerfile").read_text(encoding="utf-8"))
    told.add_argument("--stage", choices=sorted(found), default="airflow")
    told.add_argument("--root", type=Path, required=True, help="the folder to make it in")
    told.add_argument(
        "--copy", type=Path, action="append", default=[], help="files of this machine it needs, as pip.conf"
    )
    told.add_argument("--only-print", action="store_true", help="print the instructions as JSON and run nothing")
    asked = told.parse_args()
    base, instructions = steps(found, asked.stage)
    if asked.only_print:
        print(json.dumps(instructions))
        return
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("it needs root and debootstrap: apt-get install debootstrap")
    try:
        bootstrap(asked.root, base, asked.copy)
        place = follow(asked.root, base, instructions)
        for command in CHECKS[asked.stage]:
            print(f"--> {command}", flush=True)
            inside(asked.root, command, place)
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with exit code {error.returncode}: {str(error.cmd[-1])[:300]}")
    print(f"every line of {asked.stage} ran in {asked.root}")


if __name__ == "__main__":
    main()
