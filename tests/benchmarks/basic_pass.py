"""The commands of basic.py's stages one after the other in one process, as `python -m chimed run all` runs its stages.

Run by `basic.py --peer` beside datatrove's script, which is one process too. What is no part of the pass (a token a
letter, which perplexity would have counted) is done aside; what that took is written to a file.
"""

import json
import sys
import time
from pathlib import Path

from chimed.__main__ import main


def run(stage: str, build: str) -> None:
    """The command, to its end. Raises SystemExit where it fails."""
    sys.argv = ["chimed", "run", stage, "--build", build]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    build, folder = sys.argv[1], Path(sys.argv[2])
    run("clean", build)
    run("dedup", build)
    began = time.monotonic(), time.process_time()
    import basic

    basic.pretend_scores(basic.open_lake(), folder)
    aside = {"wall": time.monotonic() - began[0], "cpu": time.process_time() - began[1]}
    (folder / "aside.json").write_text(json.dumps(aside))
    run("filter", build)
