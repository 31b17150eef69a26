"""One frozen record of every setting, the rules that settings obey, and the presets."""

from __future__ import annotations

import json
import random
import reprlib
from dataclasses import asdict, dataclass, replace
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .messages import did_you_mean

KINDS: dict[type, tuple[type, str, float]] = {  # what is taken, in words, and the largest
    int: (Integral, "an integer from 0 to 999,999,999", 999_999_999),
    float: (Real, "a number from 0 to 3.4e38", 3.4e38),
    bool: (bool, "true or false", 1),
    str: (str, "a string", 0),
}
POSITIVE = ("epsilon", "lr", "batch_size", "entropy_rank", "support")  # or None
Allocation = Literal["ot", "uniform", "topk", "max"]  # names of method.alignment.ALLOCATIONS
Dense = Literal["vv", "vv-shared", "value", "plain"]  # names of clip.dense.DENSE
Start = Literal["template", "perturbed", "normal", "xavier"]  # of method.prompts.initial_context


@dataclass(frozen=True)
class Config:
    """Settings of a training; the defaults are SOT-GLP without the learnable projection."""

    preset: str = "sotglp"
    # prompts
    global_prompts: int = 3  # M; 0: no global branch
    local_prompts: int = 4  # N; 0: no local branch
    global_context: int = 4  # T, context tokens; of those that begin as the template, its words
    local_context: int = 4
    global_class_specific: bool = False  # CoOp's CSC: contexts for each class, not for all
    local_class_specific: bool = True
    template: str = "a photo of a {}"  # the words before {} initialise the context
    global_init: Start = "template"
    local_init: Start = "perturbed"
    global_dropout: float = 0.75  # M - int(0.75 M) global prompts count for an image and step
    # local alignment
    dense: Dense = "vv"  # feature of a patch
    allocation: Allocation = "ot"  # how a class's patches are divided among its prompts
    support: int | None = 10  # K patches shared by a class's prompts; None: all of them
    top_k: tuple[int, ...] = (10,)  # patches of each prompt under "topk", cycled over the prompts
    epsilon: float = 0.1
    differentiable_plan: bool = False  # let gradients flow through the plan, too
    projection: bool = False  # learnable linear map on the patch tokens
    pooled_global: bool = False  # PLOT on ImageNet: cosine with the mean prompt on top
    divide_by_prompts: bool = False  # the released code's hidden temperature: local score / N
    # loss and optimisation
    local_weight: float = 1.0  # lambda
    local_loss: Literal["mean", "by_prompt"] = "mean"  # of the mean score, or mean over prompts
    entropy_weight: float = 0.0  # of LoCoOp's entropy term on irrelevant patches
    entropy_rank: int | None = None  # irrelevant: the true class is not among so many; None: C // 5
    epochs: int = 50
    batch_size: int = 32
    lr: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.01
    warmup: int = 0  # epochs at lr 1e-5 before the cosine begins
    crops: int | Literal["fresh"] = 0  # random ones beside the plain image; "fresh": each epoch new
    seed: int = 1

    def __post_init__(self) -> None:
        for name, kind in kinds(Config).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), kind))
        if self.global_prompts + self.local_prompts == 0:
            raise ValueError("global_prompts and local_prompts are both 0; give at least one")
        rules = [
            *((name, getattr(self, name) != 0, "must be positive") for name in POSITIVE),
            ("global_dropout", self.global_dropout < 1, "must be less than 1"),
            ("top_k", min(self.top_k, default=0), "needs positive integers"),
            ("template", self.template.count("{}") == 1, "needs one {} for the class name"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it {rule}")

    def replace(self, **changes: Any) -> Config:
        """A copy with some settings changed.

        :raises ValueError: on an unknown setting (with the nearest name) or an impossible value.
        """
        for name in changes:
            if name not in kinds(Config):
                raise ValueError(f"unknown setting {name!r}{did_you_mean(name, kinds(Config))}")
        return replace(self, **changes)

    def to_dict(self) -> dict:
        return asdict(self)


_PRESETS = json.loads((Path(__file__).parent / "presets.json").read_text(encoding="utf-8"))
PRESETS: dict[str, dict] = {name: entry["settings"] for name, entry in _PRESETS.items()}


def preset(name: str, **changes: Any) -> Config:
    """The named preset, with some settings changed.

    :raises ValueError: on an unknown preset or setting, with the nearest name.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise ValueError(f"unknown preset {name!r}{near or '; there are: ' + ', '.join(PRESETS)}")
    return Config().replace(preset=name, **PRESETS[name]).replace(**changes)


@cache
def kinds(record: Any) -> dict[str, Any]:
    """Name -> type of the fields of a dataclass, or of the parameters of a function."""
    return get_type_hints(record)


def checked(name: str, value: Any, kind: Any) -> Any:
    """The value as what an annotation says: an integer for a float, one item for a tuple of them.

    :param kind: int, float, bool, str or a Literal; a tuple or list of one of these; int or one of
        these | another.
    :raises ValueError: on any other value, saying what is needed.
    """
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        if value in inner:
            return value
        near = did_you_mean(value, inner)
        raise ValueError(f"{name} is {reprlib.repr(value)}; it is one of {', '.join(inner)}{near}")
    if get_origin(kind) in (Union, UnionType):
        first, other = inner
        choices = get_args(other) or (None,)
        if value in choices:
            return value
        try:
            return checked(name, value, first)
        except ValueError as error:
            raise ValueError(" or ".join([str(error), *map(repr, choices)])) from None
    if inner:
        items = value if isinstance(value, list | tuple) else [value]
        return kind.__origin__(checked(name, item, inner[0]) for item in items)
    taken, words, largest = KINDS[kind]
    fits = isinstance(value, taken) and isinstance(value, bool) == (kind is bool)
    if not fits or (largest and not 0 <= value <= largest):
        raise ValueError(f"{name} is {reprlib.repr(value)}; it needs {words}")
    return kind(value)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
