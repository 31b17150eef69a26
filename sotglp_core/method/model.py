"""SOT-GLP and its relatives: a frozen backbone, global and local prompts, one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from ..clip.backbone import Backbone, ImageFeatures
from ..config import Config
from ..recipes import recipe
from ..transport.sinkhorn import Transport, sinkhorn
from .alignment import Alignment, align
from .prompts import EncodeSharded, FixedPrompts, PromptLearner


class TextFeatures(NamedTuple):
    """Unit features of the prompts; None where the branch does not exist."""

    global_text: Tensor | None  # (C, M, D) of the global prompts
    local_text: Tensor | None  # (C, N, D)
    pooled: Tensor | None = None  # (C, D), of the mean local prompt before it was normalised


@dataclass(frozen=True, eq=False)
class Prediction:
    """All that a forward pass knows, for losses, scores, figures and the inspector."""

    scale: Tensor  # of the logits
    global_similarity: Tensor | None  # (B, C) mean cosine with the global prompts
    alignment: Alignment | None  # support, plan and score of the local branch
    patches: Tensor  # (B, P, D) unit vectors
    mean_prompt: Tensor  # (C, D) of the local prompts, or of the global ones if there are none
    grid: tuple[int, int]

    @property
    def branches(self) -> list[Tensor]:
        """The mean global cosine and the local score, (B, C) each, if they exist."""
        local_score = self.alignment and self.alignment.score
        return [x for x in (self.global_similarity, local_score) if x is not None]

    @cached_property
    def logits(self) -> Tensor:
        """(B, C): scale * mean of the branches."""
        return self.scale * torch.stack(self.branches).mean(0)

    @property
    def similarity(self) -> Tensor:
        """(B, C) cosine with the classes: the global branch's, or the local score without one."""
        return self.branches[0]

    @property
    def global_logits(self) -> Tensor | None:
        """(B, C)."""
        return None if self.global_similarity is None else self.scale * self.global_similarity

    @property
    def local_logits(self) -> Tensor | None:
        """(B, C)."""
        return None if self.alignment is None else self.scale * self.alignment.score

    @property
    def prompt_logits(self) -> Tensor | None:
        """(B, C, N) of every local prompt."""
        return None if self.alignment is None else self.scale * self.alignment.prompt_scores

    @cached_property
    def patch_similarity(self) -> Tensor:
        """(B, C, P) cosine of every patch with the classes, averaged over their prompts."""
        with torch.autocast(self.patches.device.type, enabled=False):
            return self.mean_prompt @ self.patches.mT

    @property
    def patch_logits(self) -> Tensor:
        """(B, P, C)."""
        return self.scale * self.patch_similarity.mT

    def plan_on_grid(self, classes: Tensor | None = None) -> Tensor:
        """The local prompts' mass on every patch of the image, zero off the support.

        :param classes: (B,) a class per image; None: all classes.
        :return: (B, N, h, w), or (B, C, N, h, w) of all classes.
        :raises ValueError: if the model has no local prompts.
        """
        alignment = self.alignment
        if alignment is None:
            raise ValueError("the model has no local prompts, so there is no plan to show")
        if classes is not None:
            chosen = (torch.arange(len(classes), device=classes.device), classes)
            support, plan = alignment.support[chosen], alignment.plan[chosen]
            alignment = alignment._replace(support=support, plan=plan)
        return alignment.on_grid(self.patches.shape[1]).mT.unflatten(-1, self.grid)


class SOTGLP(nn.Module):
    """logits = scale * (mean_m cos(z, t_cm) + u_c) / 2, u the local score of
    :func:`~sotglp_core.method.alignment.align`.

    :param backbone: a frozen :class:`~sotglp_core.clip.backbone.Backbone`, which models may share;
        not part of the module's state.
    :param class_names: at least two, all different.
    :param config: settings; None: those of the method "sotglp" that suit the backbone.
    :param solver: what solves the transport problems.
    :param text_chunk: prompts whose graph is held at once in training, to save memory; the backward
        pass encodes them again. None: all, encoded once.
    :param text_free: hold fixed text features in place of prompts, see
        :func:`~sotglp_core.method.fixed.text_free`.
    :raises ValueError: on class names that are too few, not all different or too long for the text
        tower.
    """

    threshold: Any = None  # an OODThreshold, where the file that the model is from holds one

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        config: Config | None = None,
        *,
        solver: Callable[..., Transport] = sinkhorn,
        text_chunk: int | None = None,
        text_free: bool = False,
    ):
        super().__init__()
        config = config or recipe("sotglp", backbone=backbone.name)
        different = len(set(class_names))
        if different < max(2, len(class_names)):
            raise ValueError(
                f"there are {len(class_names)} class names, {different} of them different; "
                "give at least two, all different"
            )
        self.class_names, self.config, self.solver = tuple(class_names), config, solver
        self.text_chunk, self.text_free = text_chunk, text_free
        self._held = (backbone,)  # a tuple keeps the frozen weights out of state and parameters
        generator = torch.Generator().manual_seed(config.seed)
        self.global_prompts = self._prompts("global", generator)
        self.local_prompts = self._prompts("local", generator)
        eye = torch.eye(backbone.patch_width, dtype=backbone.compute_dtype, device=backbone.device)
        self.projection = nn.Parameter(eye) if config.projection else None
        if text_free:
            self.requires_grad_(False)

    def _prompts(
        self, branch: str, generator: torch.Generator
    ) -> PromptLearner | FixedPrompts | None:
        config = self.config
        number = getattr(config, f"{branch}_prompts")
        if number == 0:
            return None
        if self.text_free:
            return FixedPrompts(self.backbone, len(self.class_names), number)
        return PromptLearner(
            self.backbone,
            self.class_names,
            number=number,
            length=getattr(config, f"{branch}_context"),
            class_specific=getattr(config, f"{branch}_class_specific"),
            init=getattr(config, f"{branch}_init"),
            template=config.template,
            generator=generator,
        )

    @property
    def backbone(self) -> Backbone:
        return self._held[0]

    def _apply(self, function: Callable, recurse: bool = True) -> SOTGLP:
        """Takes the backbone along, for ``model.to(device)``: a copy, as others may share it."""
        scale = self.backbone.model.logit_scale.detach()
        if function(scale) is not scale:  # of another device or type
            self._held = (copy.deepcopy(self.backbone)._apply(function),)
        return super()._apply(function, recurse)

    def train(self, mode: bool = True) -> SOTGLP:
        """:raises ValueError: if the text features are fixed."""
        if mode and self.text_free:
            raise ValueError("this model holds no prompts to train; train the one it was made from")
        return super().train(mode)

    def text_features(self, encode_sharded: EncodeSharded | None = None) -> TextFeatures:
        """Encode all prompts; give the result to the forward pass while they do not change.

        :param encode_sharded: how several processes divide the classes, see
            :mod:`sotglp_core.distributed`.
        """
        settings = {"chunk": self.text_chunk, "encode_sharded": encode_sharded}
        global_text = local_text = pooled = None
        if self.global_prompts is not None:
            global_text = normalize(self.global_prompts(self.backbone, **settings), dim=-1)
        if self.local_prompts is not None:
            local_text = self.local_prompts(self.backbone, **settings)
            if self.config.pooled_global:
                pooled = normalize(local_text.mean(1), dim=-1)
            local_text = normalize(local_text, dim=-1)
        return TextFeatures(global_text, local_text, pooled)

    def sample_prompt_mask(self, images: int) -> Tensor | None:
        """Prompt dropout: how much each of the global prompts counts for an image in training.

        max(M - int(dropout M), 1) prompts, drawn with replacement from torch's CPU generator, count
        alike.

        :return: (B, M), rows of sum 1; None where all count alike.

        Source: GalLoP (arXiv 2407.01400), as in its released code.
        """
        number, dropout = self.config.global_prompts, self.config.global_dropout
        if not self.training or dropout == 0 or number <= 1:
            return None
        drawn = torch.randint(number, (images, max(number - int(dropout * number), 1)))
        counts = one_hot(drawn, number).sum(1).to(self.backbone.device, self.backbone.compute_dtype)
        return counts / drawn.shape[1]

    def forward(
        self,
        x: Tensor | ImageFeatures,
        text: TextFeatures | None = None,
        mask: Tensor | None = None,
    ) -> Prediction:
        """All that the model knows of a batch.

        What follows the towers is computed in float32 or wider, also under autocast.

        :param x: (B, 3, H, W) preprocessed images, or their
            :class:`~sotglp_core.clip.backbone.ImageFeatures`.
        :param text: what :meth:`text_features` returned; None: encode the prompts.
        :param mask: what :meth:`sample_prompt_mask` returned; None: draw it.
        :raises ValueError: if a cosine is not a finite number.
        """
        backbone, config = self.backbone, self.config
        device, dtype = backbone.device, backbone.compute_dtype
        if isinstance(x, Tensor):
            x = backbone.encode_image(x, dense=config.dense)
        global_text, local_text, pooled = text or self.text_features()
        if mask is None and self.training:
            mask = self.sample_prompt_mask(len(x.image))
        with torch.autocast(device.type, enabled=False):
            image = normalize(x.image.to(device, dtype), dim=-1)
            patches = backbone.project(x.patches.to(device, dtype), self.projection)
            patches = normalize(patches, dim=-1)
            global_similarity = alignment = None
            if global_text is not None:
                global_similarity = _global_similarity(image, global_text, mask)
            if local_text is not None:
                alignment = align(
                    patches,
                    local_text,
                    allocation=config.allocation,
                    support=config.support,
                    top_k=config.top_k,
                    epsilon=config.epsilon,
                    divide_by_prompts=config.divide_by_prompts,
                    differentiable=config.differentiable_plan,
                    solver=self.solver,
                )
                if pooled is not None:
                    score = alignment.score + image @ pooled.mT
                    alignment = alignment._replace(score=score)
            prompts: Any = global_text if local_text is None else local_text
            return Prediction(
                scale=backbone.logit_scale,
                global_similarity=global_similarity,
                alignment=alignment,
                patches=patches,
                mean_prompt=prompts.mean(1),
                grid=x.grid,
            )


def _global_similarity(image: Tensor, text: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the prompts that count of (B, D) images' cosines with (C, M, D) prompts: (B, C)."""
    by_prompt = torch.einsum("bd,cmd->bcm", image, text)
    return by_prompt.mean(-1) if mask is None else torch.einsum("bcm,bm->bc", by_prompt, mask)
