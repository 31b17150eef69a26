"""The script that writes the notebooks for Google Colab, imported from the book's folder."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("colab", ROOT / "book" / "colab.py")
colab = importlib.util.module_from_spec(spec)
spec.loader.exec_module(colab)
