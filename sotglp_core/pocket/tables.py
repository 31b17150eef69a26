"""The data files of the embedded world."""

import csv
import json
from importlib.resources import files
from typing import Any


def load_table(name: str) -> Any:
    """What a JSON file of this folder holds, or the rows of a CSV file, by column."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else list(csv.DictReader(text.splitlines()))
