"""Write and read named arrays in the lake, in NumPy's own format: numbers and short texts, and nothing that runs."""

import io
from collections.abc import Mapping

import numpy as np

from chimed.storage import lake as lakes
from chimed.storage.lake import Lake


def write_arrays(lake: Lake, path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays under their names. The same arrays make the same bytes."""
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **arrays)
    lakes.write_bytes(lake, path, sink.getvalue())


def read_arrays(lake: Lake, path: str) -> dict[str, np.ndarray]:
    """Read all arrays of a file. Raises FileNotFoundError where there is none."""
    with np.load(io.BytesIO(lakes.read_bytes(lake, path)), allow_pickle=False) as kept:
        return dict(kept)
