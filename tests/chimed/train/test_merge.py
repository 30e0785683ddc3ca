"""Merging takes a file of weights at a time: a model larger than a one-GPU pod's memory is merged in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

FILES, ROWS, COLUMNS, RANK = 32, 1024, 4096, 4  # 8 MB a file in bf16
MERGED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from chimed.train.merge import merge

folder = Path(sys.argv[1])
run = SimpleNamespace(folder=folder / "run", start=str(folder / "base"), fields={"dtype": "bfloat16", "bf16": True})

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
before = memory("VmRSS")
merge(run)
print(memory("VmHWM") - before)
"""


def test_a_merge_holds_one_file_at_a_time(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    tiny.model(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    generator = torch.Generator().manual_seed(0)
    places, factors = {}, {}
    for n in range(FILES):
        name, file = f"model.layers.{n}.mlp.up_proj", f"model-{n:05}.safetensors"
        weights = torch.randn(ROWS, COLUMNS, generator=generator).to(torch.bfloat16)
        save_file({f"{name}.weight": weights}, tmp_path / "base" / file)
        places[f"{name}.weight"] = file
        factors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, COLUMNS, generator=generator)
        factors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(ROWS, RANK, generator=generator)
    index = {"metadata": {}, "weight_map": places}
    (tmp_path / "base" / "model.safetensors.index.json").write_text(json.dumps(index))
    adapter = tmp_path / "run" / "adapter"
    adapter.mkdir(parents=True)
    save_file(factors, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 2 * RANK}))
    said = subprocess.run([sys.executable, "-c", MERGED, str(tmp_path)], capture_output=True, text=True, check=True)
    whole = FILES * ROWS * COLUMNS * 2 / 2**20
    assert float(said.stdout) < whole  # MB; all at once it would take that, and twice as much in fp32
    right(tmp_path, places, factors, load_file)


def right(folder: Path, places: dict, factors: dict, load_file) -> None:
    """Every matrix is the one it was, with its factors' product added at their scale, rounded once."""
    for name, file in list(places.items())[::8]:
        before, after = (load_file(folder / place / file)[name] for place in ("base", "run/merged"))
        key = f"base_model.model.{name.removesuffix('.weight')}"
        added = 2 * factors[f"{key}.lora_B.weight"] @ factors[f"{key}.lora_A.weight"]
        assert torch.equal(after, (before.float() + added).to(torch.bfloat16))
