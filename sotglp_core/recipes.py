"""Settings that suit a method, a dataset and a backbone together."""

import json
from pathlib import Path
from typing import Any

from .config import Config, preset

EMBEDDED = {"lr": 0.5, "batch_size": 64}  # chosen on validation images of the embedded task
RELEASED = json.loads((Path(__file__).parent / "recipes.json").read_text(encoding="utf-8"))


def recipe(
    method: str, dataset: str | None = None, *, backbone: str = "pocket", **changes: Any
) -> Config:
    """The named method's settings as they suit a dataset and a backbone, with some changed.

    On real weights, SOT-GLP has the settings of its released code for each of the benchmarks.

    :param method: a name of :data:`~sotglp_core.config.PRESETS`.
    :param dataset: a name of the catalogue; None: no dataset in particular.
    :param backbone: the name of the backbone that the settings are for.
    :raises ValueError: on an unknown method or setting, with the nearest name.
    """
    suited: dict = {}
    if backbone == "pocket":
        suited = EMBEDDED
    elif method in RELEASED["methods"]:
        suited = RELEASED["datasets"].get(dataset, {})
    return preset(method, **{**suited, **changes})
