"""README's code is read by `readme`, beside the tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(Path(__file__).parent))
sys.path += [str(TESTS / "chimed"), str(TESTS / "chimed" / "stages")]
