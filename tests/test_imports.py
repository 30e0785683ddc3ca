"""Importing a module reads no setting and no file: those are read at the edge, when they are asked for."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Imports every module and prints what one of them read meanwhile. What needs torch is left out where there is none; the
# launcher of the embedded Airflow is itself an edge.
SCRIPT = """
import importlib, os, pkgutil, sys, traceback
import chimed.settings

HERE = os.path.abspath("include")
found = set()

def where():
    frames = (f for f in reversed(traceback.extract_stack()) if f.filename.startswith(HERE))
    return next(f"{frame.filename}:{frame.lineno}" for frame in frames)

def opened(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path.startswith(HERE) and not path.endswith((".py", ".pyc")) and "__pycache__" not in path:
            found.add(f"{where()} opens {path}")

def settings():
    found.add(f"{where()} asks for the settings")
    return real()

real, chimed.settings.settings = chimed.settings.settings, settings
sys.addaudithook(opened)
for package in ("chimed", "chimed_airflow"):
    for one in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if one.name.endswith("__main__") or ".migrations" in one.name or one.name.startswith("chimed_airflow.local"):
            continue
        try:
            importlib.import_module(one.name)
        except ModuleNotFoundError as error:
            assert error.name in ("torch", "trl", "datasets", "transformers", "peft", "lm_eval", "vllm"), error
print(*sorted(found), sep="\\n")
"""


def test_importing_a_module_reads_nothing() -> None:
    environment = os.environ | {"PYTHONPATH": "include"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == ""
