"""The data files of the embedded world."""

import json
from importlib.resources import files
from typing import Any


def load_table(name: str) -> Any:
    """What a JSON file of this folder holds."""
    return json.loads((files(__package__) / name).read_text(encoding="utf-8"))
