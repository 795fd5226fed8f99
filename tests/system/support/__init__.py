"""What system tests share. Importing it finds scripts/, so that a scenario also runs by hand."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
