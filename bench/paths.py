"""Makes the modules of scripts/, tests/support/ and tests/support/wan/ importable: to be imported before them."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("scripts", "tests/support", "tests/support/wan")]
