"""Published recipes: settings that suit a method, a dataset, a backbone and a number of shots."""

import json
from pathlib import Path
from typing import Any

from .config import Config, preset

# By method; "pocket": of the embedded backbone, chosen for 16 shots and 20 epochs.
RECIPES: dict[str, dict] = json.loads(
    (Path(__file__).parent / "recipes.json").read_text(encoding="utf-8")
)
BENCHMARKS = tuple(RECIPES["sotglp"]["datasets"])  # the eleven of the papers
SAME = {"sotglp-proj": "sotglp", "reference": "sotglp"}  # preset -> whose recipe it has


def recipe(
    method: str,
    dataset: str | None = None,
    *,
    backbone: str = "pocket",
    shots: int = 16,
    **changes: Any,
) -> Config:
    """The method's settings as published for a dataset, with some changed.

    The embedded backbone has a learning rate and batch size of its own; on another backbone, a
    dataset that is none of the eleven benchmarks has the preset's settings.

    :param method: a name of :data:`~sotglp_core.config.PRESETS`.
    :param dataset: a name of :data:`BENCHMARKS`; any other, or None: no dataset in particular.
    :param backbone: the name of the backbone that the settings are for.
    :param shots: training images of each class.
    :raises ValueError: on an unknown method or setting, with the nearest name.
    """
    suited, _ = _suited(method, dataset, backbone, shots)
    return preset(method, **suited | changes)


def recipe_sources(
    method: str,
    dataset: str | None = None,
    *,
    backbone: str = "pocket",
    shots: int = 16,
    **changes: Any,
) -> dict[str, str]:
    """Where :func:`recipe` has each setting from: the preset, a source, or "given"."""
    suited, source = _suited(method, dataset, backbone, shots)
    sources = dict.fromkeys(vars(preset(method)), f"preset {method}")
    return sources | dict.fromkeys(suited, source) | dict.fromkeys(changes, "given")


def _entry(method: str) -> dict:
    """The method's entry of ``recipes.json``: "source", "draw", "precision", "settings", ..."""
    return RECIPES.get(SAME.get(method, method), {})


def draw_of(method: str) -> str:
    """How the method's authors draw the training images: a name of data.sampling.DRAWS."""
    return _entry(method).get("draw", "exact")


def _suited(
    method: str, dataset: str | None, backbone: str, shots: int
) -> tuple[dict[str, Any], str]:
    """The settings that are not the preset's, and their source."""
    if backbone == "pocket":
        entry = RECIPES["pocket"]
        return entry["settings"] | entry["methods"].get(method, {}), entry["source"]
    entry = _entry(method)
    if dataset not in BENCHMARKS or not entry:
        return {}, ""
    by_shots = entry.get("shots", {}).get(str(shots), {})
    return entry["settings"] | by_shots | entry["datasets"].get(dataset, {}), entry["source"]
