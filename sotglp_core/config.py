"""One frozen record of every setting, and the presets: short differences from the default, each with its source."""

from __future__ import annotations

import difflib
import random
import reprlib
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

WORDS = {
    "int": "a whole number",
    "float": "a number in the range of float32",
    "bool": "True or False",
    "str": "a text",
    "int | None": "a whole number, or None",
    "tuple[int, ...]": "a tuple of whole numbers",
}
FLOAT_MAX = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Config:
    """Settings of a run; the defaults are SOT-GLP without the learnable projection (preset ``sotglp``)."""

    preset: str = "sotglp"
    # prompts
    global_prompts: int = 3  # M; 0: no global branch
    local_prompts: int = 4  # N; 0: no local branch
    global_context: int = 4  # T, context tokens
    local_context: int = 4
    global_class_specific: bool = (
        False  # True: every class has global contexts of its own (CoOp's CSC)
    )
    local_class_specific: bool = True  # False: the N local contexts are shared by all classes
    template: str = "a photo of a {}."  # words before {} initialise the context, words after it follow the class name
    global_init: str = (
        "template"  # how contexts start: "template" (those words, with noise) or "random"
    )
    local_init: str = "template"
    global_dropout: float = (
        0.75  # chance that an image does without a prompt for a step; at least one is kept
    )
    local_dropout: float = 0.0
    # local alignment
    allocation: str = "ot"  # a name of method.alignment.ALLOCATIONS
    support: int | None = 10  # K patches shared by a class's prompts; None: all of them
    top_k: tuple[int, ...] = (10,)  # patches of each prompt under "topk", cycled over the prompts
    epsilon: float = 0.1
    differentiable_plan: bool = False  # let gradients flow through the plan, too
    projection: bool = False  # learnable linear map on the patch tokens
    shared_first_block: bool = False  # the released code's aliasing of both streams in block 1
    divide_by_prompts: bool = False  # the released code's hidden temperature: local score / N
    # loss and optimisation
    local_weight: float = 1.0  # lambda
    entropy_weight: float = 0.0  # LoCoOp's push on irrelevant patches
    entropy_rank: float = (
        0.2  # a patch is irrelevant if its true class ranks below this share of the classes
    )
    epochs: int = 50
    batch_size: int = 32
    lr: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.01
    views: int = 1  # of each training image: the plain one and views - 1 random crops
    seed: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            _need(
                _fits(value, str(item.type)),
                f"{item.name} is {reprlib.repr(value)}; it needs {WORDS[str(item.type)]}",
            )
        for name in (
            "global_prompts",
            "local_prompts",
            "global_context",
            "local_context",
            "epochs",
            "momentum",
            "weight_decay",
            "local_weight",
            "entropy_weight",
        ):
            _need(
                getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it can't be negative"
            )
        _need(
            self.global_prompts + self.local_prompts > 0,
            "global_prompts and local_prompts are both 0; give at least one",
        )
        for name in ("global_init", "local_init"):
            _need(
                getattr(self, name) in ("template", "random"),
                f"{name} is {getattr(self, name)!r}; choose template or random",
            )
        _need(
            self.template.count("{}") == 1,
            f"template is {self.template!r}; it needs one {{}} for the class name",
        )
        _need(
            self.support is None or self.support > 0,
            f"support is {self.support}; give a positive number of patches, or None for all",
        )
        _need(
            self.top_k and min(self.top_k) > 0,
            f"top_k is {self.top_k}; give positive numbers of patches",
        )
        for name in ("epsilon", "lr", "batch_size", "views"):
            _need(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; it must be positive")
        _need(
            0 <= self.seed < 1 << 32, f"seed is {self.seed}; give one from 0 to {(1 << 32) - 1:,}"
        )
        for name in ("global_dropout", "local_dropout"):
            _need(
                0 <= getattr(self, name) < 1,
                f"{name} is {getattr(self, name)}; it must be in [0, 1)",
            )

    def replace(self, **changes: Any) -> Config:
        """A copy with some settings changed.

        :raises ValueError: on an unknown setting (with the nearest name) or an impossible value.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise ValueError(
                    f"unknown setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
                )
        return replace(self, **changes)

    def to_dict(self) -> dict:
        return asdict(self)


PRESETS: dict[str, dict] = {
    # arXiv 2603.08347: balanced OT on a shared sparse support, class-specific local prompts, no projection
    "sotglp": {},
    # the same with GalLoP's learnable projection: the variant that fits the training classes best
    "sotglp-proj": dict(projection=True),
    # what the released code (Deniz2304988/SOT-GLP, 1c124e8) computes
    "reference": dict(
        projection=True, shared_first_block=True, divide_by_prompts=True, local_init="random"
    ),
    # Lafon et al., ECCV 2024 (arXiv 2407.01400): shared prompts, each with its own number of patches
    "gallop": dict(
        global_prompts=4,
        local_class_specific=False,
        allocation="topk",
        top_k=(5, 10, 15, 20),
        support=None,
        projection=True,
        local_dropout=0.5,
    ),
    # Chen et al., ICLR 2023 (arXiv 2210.01253): shared prompts, OT over all patches, no global branch
    "plot": dict(global_prompts=0, local_class_specific=False, support=None),
    # Zhou et al., IJCV 2022 (arXiv 2109.01134): one shared context of 16 tokens
    "coop": dict(
        global_prompts=1,
        global_context=16,
        local_prompts=0,
        global_init="random",
        global_dropout=0.0,
    ),
    # Miyai et al., NeurIPS 2023 (arXiv 2306.01293): CoOp plus an entropy push on patches that are not the class
    "locoop": dict(
        global_prompts=1,
        global_context=16,
        local_prompts=0,
        global_init="random",
        global_dropout=0.0,
        entropy_weight=0.25,
    ),
    # Radford et al., ICML 2021 (arXiv 2103.00020): the template, nothing learned
    "zeroshot": dict(global_prompts=1, local_prompts=0, epochs=0, global_dropout=0.0),
}


def preset(name: str, **changes: Any) -> Config:
    """The named preset, with some settings changed.

    :raises ValueError: on an unknown preset or setting, with the nearest name.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown preset {name!r}; {hint}There are: {', '.join(PRESETS)}")
    return Config().replace(preset=name, **PRESETS[name]).replace(**changes)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _fits(value: Any, kind: str) -> bool:
    """Whether the value is what the annotation says; floats fit into float32, and may be whole numbers."""
    if kind == "tuple[int, ...]":
        return isinstance(value, tuple | list) and all(_fits(item, "int") for item in value)
    if kind == "float":
        return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= FLOAT_MAX  # type: ignore[operator]
    if "int" in kind:
        return (
            isinstance(value, Integral)
            and not isinstance(value, bool)
            or value is None
            and "None" in kind
        )
    return isinstance(value, {"bool": bool, "str": str}[kind])


def _need(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)
