"""Converts a phase's merged model to GGUF, for llama.cpp and what is built on it (Ollama, LM Studio). Ours.

The work is llama.cpp's own `convert_hf_to_gguf.py`, and `llama-quantize` for types of a few bits: both follow its
format as it changes. They are not installed with chimed; the setting names them, or they are on the PATH. What
converted a file is recorded beside it by content, since another version of the tool may write another file. AWQ is not
made here: it needs a GPU and calibration texts, and llm-compressor makes it from the same merged folder.
"""

import logging
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.characters import short
from chimed.errors import UserError, WorkStopped, choose
from chimed.settings import settings
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint, same_model, sha256_of
from chimed.train.recipe import EVERY_PHASE
from chimed.train.run import place_of, trained

log = logging.getLogger("chimed")

CONVERTER, QUANTIZER = "convert_hf_to_gguf.py", "llama-quantize"
WHOLE = ("bf16", "f16", "f32", "q8_0")  # what the converter writes itself
QUANTIZED = ("q6_k", "q5_k_m", "q4_k_m")  # what llama-quantize makes of bf16
TYPES = (*WHOLE, *QUANTIZED)
MAGIC, VERSIONS = b"GGUF", (2, 3)  # of the format, as llama.cpp reads it
LAST_LINES = 3  # of a failed tool that are shown
GET_IT = (
    "get llama.cpp (git clone https://github.com/ggml-org/llama.cpp, at a release's tag) and set CHIMED_LLAMA_CPP to "
    "its folder"
)


@dataclass(frozen=True)
class Tools:
    """The programs of llama.cpp on this machine. quantizer: None where it is not built."""

    converter: Path
    quantizer: Path | None


def convert(lake: Lake, release: str, recipe: str, phase: str, kind: str) -> dict[str, Any]:
    """Write `models/<release>/<recipe>/<phase>/gguf/<kind>.gguf` and, last, the record beside it; return that record.

    kind: one of `TYPES`. A file that the same tool made of the same model is not made again. Raises UserError for an
    unknown phase or type, or where llama.cpp is not here, and WorkStopped where a tool fails or leaves no GGUF file.
    """
    choose("phase", phase, EVERY_PHASE)
    choose("type", kind, TYPES)
    recipe = recipes.known(recipe)
    report = trained(lake, release, recipe, phase)
    tools = find_tools(needs_quantizer=kind in QUANTIZED)
    place = place_of(release, recipe, phase)
    target = f"{place}/gguf/{kind}"
    made_by = tool_record(tools, kind)
    if lakes.exists(lake, f"{target}.json"):
        known = lakes.read_json(lake, f"{target}.json")
        if (known["model"], known["made_by"]) == (report["fingerprint"], made_by):
            log.info("%s is converted already", target)
            return known
    source = copies.local_path(lake, f"{place}/merged")
    if not same_model(report["fingerprint"], str(source)):
        raise WorkStopped(f"{lake.at(place)}/merged is not the model of its report: it is {fingerprint(str(source))}")
    with tempfile.TemporaryDirectory(prefix="chimed-gguf-") as work:
        file = Path(work) / f"{kind}.gguf"
        for command in commands(tools, source, file, kind):
            _run(command)
        tensors = count_tensors(file)
        lakes.write_file(lake, f"{target}.gguf", file)
        record = {
            "file": lake.at(f"{target}.gguf"),
            "type": kind,
            "bytes": file.stat().st_size,
            "tensors": tensors,
            "sha256": sha256_of(file),
            "model": report["fingerprint"],
            "made_by": made_by,
        }
    lakes.write_json(lake, f"{target}.json", record)
    return record


def find_tools(needs_quantizer: bool) -> Tools:
    """Return llama.cpp's programs: of the folder in `CHIMED_LLAMA_CPP`, else of the PATH. Raises UserError."""
    folder = settings().llama_cpp
    if folder:
        root = Path(folder).expanduser()
        if not (root / CONVERTER).is_file():
            raise UserError(f"CHIMED_LLAMA_CPP is {folder}, and there is no {CONVERTER} in it; {GET_IT}")
        built = (root / "build" / "bin" / QUANTIZER, root / QUANTIZER)
        converter = root / CONVERTER
        quantizer = next((one for one in built if one.is_file()), None) or _on_path(QUANTIZER)
    else:
        found = _on_path(CONVERTER)
        if found is None:
            raise UserError(f"llama.cpp's {CONVERTER} is not on this machine; {GET_IT}")
        converter, quantizer = found, _on_path(QUANTIZER)
    if needs_quantizer and quantizer is None:
        raise UserError(
            f"{QUANTIZER} is not on this machine; build it in llama.cpp's folder (cmake -B build, then "
            f"cmake --build build --target {QUANTIZER}), or take a type that needs none: {', '.join(WHOLE)}"
        )
    return Tools(converter, quantizer)


def commands(tools: Tools, source: Path, file: Path, kind: str) -> list[list[str]]:
    """Return the command lines that make `file` of the merged model in `source`."""
    python = settings().models_python
    if kind in WHOLE:
        return [[python, str(tools.converter), str(source), "--outfile", str(file), "--outtype", kind]]
    between = file.with_name("bf16.gguf")
    first = [python, str(tools.converter), str(source), "--outfile", str(between), "--outtype", "bf16"]
    return [first, [str(tools.quantizer), str(between), str(file), kind.upper()]]


def tool_record(tools: Tools, kind: str) -> dict[str, str]:
    """Return what made a file: the converter's hash, the commit of its checkout, the quantizer's hash."""
    record = {CONVERTER: sha256_of(tools.converter)[:16]}
    asked = ["git", "-C", str(tools.converter.resolve().parent), "describe", "--tags", "--always"]
    with_git = shutil.which("git") and (tools.converter.resolve().parent / ".git").exists()
    if with_git and (told := subprocess.run(asked, capture_output=True, text=True, check=False)).returncode == 0:
        record["llama.cpp"] = short(told.stdout, 60)
    if kind in QUANTIZED and tools.quantizer:
        record[QUANTIZER] = sha256_of(tools.quantizer)[:16]
    return record


def count_tensors(file: Path) -> int:
    """Return how many tensors a GGUF file says it has. Raises WorkStopped where it is none, or has none."""
    if not file.is_file():
        raise WorkStopped(f"the converter ended well and left no file {file.name}")
    with file.open("rb") as opened:
        head = opened.read(16)
    if len(head) < 16 or head[:4] != MAGIC:
        raise WorkStopped(f"what the converter wrote is no GGUF file: it begins with {head[:4]!r}")
    version, tensors = struct.unpack("<IQ", head[4:])
    if version not in VERSIONS or not tensors:
        raise WorkStopped(f"what the converter wrote is no model: GGUF version {version}, {tensors} tensors")
    return tensors


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _run(command: list[str]) -> None:
    log.info("%s", " ".join(command))
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started ({error.strerror}); see CHIMED_MODELS_PYTHON") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = " | ".join(short(line, 200) for line in lines[-LAST_LINES:])
        tool = next(name for name in (CONVERTER, QUANTIZER) if any(word.endswith(name) for word in command))
        raise WorkStopped(f"{tool} failed with exit code {done.returncode}: {told or 'it says nothing'}")
