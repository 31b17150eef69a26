"""SOT-GLP and its relatives: a frozen backbone, global and local prompts, one forward pass for everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..clip.backbone import Backbone, ImageFeatures
from ..config import Config
from ..transport.sinkhorn import Transport, sinkhorn
from .alignment import Alignment, align
from .prompts import EncodeSharded, PromptLearner


class TextFeatures(NamedTuple):
    """Unit features of the prompts; None where the branch does not exist."""

    global_text: Tensor | None  # (C, M, D) of the global prompts
    local_text: Tensor | None  # (C, N, D)


class PromptMask(NamedTuple):
    """Prompt dropout's draw for a batch: True counts; None where nothing is dropped."""

    global_prompts: Tensor | None  # (B, M)
    local_prompts: Tensor | None  # (B, N)


@dataclass(frozen=True, eq=False)
class Prediction:
    """All that a forward pass knows; losses, scores, figures and the inspector take it from here."""

    logits: Tensor  # (B, C) scale * mean of the branches
    similarity: Tensor  # (B, C) cosine with the classes: the global branch's, or the local score if there is none
    alignment: Alignment | None  # support, plan and score of the local branch
    global_logits: Tensor | None  # (B, C)
    local_logits: Tensor | None  # (B, C)
    patches: Tensor  # (B, P, D) unit vectors
    mean_prompt: Tensor  # (C, D) of the local prompts, or of the global ones if there are none
    grid: tuple[int, int]

    @cached_property
    def patch_similarity(self) -> Tensor:
        """Cosine of every patch with the classes, averaged over their prompts: (B, C, P), computed when first asked for."""
        return self.mean_prompt @ self.patches.mT

    def plan_on_grid(self) -> Tensor:
        """The local prompts' mass on every patch of the image: (B, C, N, h, w), zero off the support.

        :raises ValueError: if the model has no local prompts.
        """
        if self.alignment is None:
            raise ValueError("the model has no local prompts, so there is no plan to show")
        return self.alignment.on_grid(self.grid[0] * self.grid[1]).mT.unflatten(-1, self.grid)


class SOTGLP(nn.Module):
    """logits = scale * (mean_m cos(z, t_cm) + u_c) / 2, u the local score of :func:`sotglp_core.method.alignment.align`.

    :param backbone: a frozen :class:`~sotglp_core.clip.backbone.Backbone`; not part of the module's state.
    :param class_names: at least two, all different.
    :param config: settings, a :func:`~sotglp_core.config.preset` perhaps changed.
    :param solver: what solves the transport problems.
    :raises ValueError: on class names that are too few or not all different, or too long for the text tower.
    """

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        config: Config | None = None,
        solver: Callable[..., Transport] = sinkhorn,
    ):
        super().__init__()
        config = config or Config()
        if len(class_names) < 2 or len(set(class_names)) < len(class_names):
            raise ValueError(
                f"there are {len(class_names)} class names, {len(set(class_names))} of them different; "
                "give at least two, all different"
            )
        self._held = (
            backbone,
        )  # in a tuple, so that the frozen weights stay out of state_dict and parameters
        self.class_names, self.config, self.solver = tuple(class_names), config, solver
        generator = torch.Generator().manual_seed(config.seed)

        def learner(number: int, **settings: Any) -> PromptLearner | None:
            settings |= {"template": config.template, "generator": generator}
            return (
                PromptLearner(backbone, self.class_names, number=number, **settings)
                if number
                else None
            )

        self.global_prompts = learner(
            config.global_prompts,
            length=config.global_context,
            init=config.global_init,
            class_specific=config.global_class_specific,
        )
        self.local_prompts = learner(
            config.local_prompts,
            length=config.local_context,
            init=config.local_init,
            class_specific=config.local_class_specific,
        )
        eye = torch.eye(backbone.patch_width, dtype=backbone.compute_dtype, device=backbone.device)
        self.projection = nn.Parameter(eye) if config.projection else None

    @property
    def backbone(self) -> Backbone:
        return self._held[0]

    def _apply(self, function: Callable, recurse: bool = True) -> SOTGLP:
        self.backbone._apply(function)  # so that model.to(device) takes the backbone along
        return super()._apply(function, recurse)

    def text_features(self, encode_sharded: EncodeSharded | None = None) -> TextFeatures:
        """Encode all prompts; pass the result to the forward pass when the prompts do not change between calls.

        :param encode_sharded: how several processes divide the classes, see :mod:`sotglp_core.distributed`.
        """
        return TextFeatures(
            *(
                None
                if learner is None
                else learner(
                    self.backbone, chunk=self.config.text_chunk, encode_sharded=encode_sharded
                )
                for learner in (self.global_prompts, self.local_prompts)
            )
        )

    def sample_prompt_mask(self, images: int) -> PromptMask:
        """Which prompts each of a batch's images keeps for a step of training, from torch's generator on the CPU."""
        return PromptMask(
            self._keep(images, self.config.global_prompts, self.config.global_dropout),
            self._keep(images, self.config.local_prompts, self.config.local_dropout),
        )

    def forward(
        self,
        x: Tensor | ImageFeatures,
        text: TextFeatures | None = None,
        mask: PromptMask | None = None,
    ) -> Prediction:
        """All that the model knows of a batch; what follows the towers is computed in float32 or wider, also under autocast.

        :param x: (B, 3, H, W) preprocessed images, or their :class:`~sotglp_core.clip.backbone.ImageFeatures`.
        :param text: what :meth:`text_features` returned; None: encode the prompts.
        :param mask: what :meth:`sample_prompt_mask` returned; None: draw it.
        :return: :class:`Prediction`.
        :raises ValueError: if a cosine is not a finite number.
        """
        if isinstance(x, Tensor):
            x = self.backbone.encode_image(x, shared_first_block=self.config.shared_first_block)
        text = text or self.text_features()
        with torch.autocast(x.image.device.type, enabled=False):
            return self._compare(x, text, mask or self.sample_prompt_mask(len(x.image)))

    def _compare(self, x: ImageFeatures, text: TextFeatures, mask: PromptMask) -> Prediction:
        config, backbone = self.config, self.backbone
        image = normalize(x.image.to(backbone.compute_dtype), dim=-1)
        patches = normalize(
            backbone.project(x.patches.to(backbone.compute_dtype), self.projection), dim=-1
        )  # (B, P, D)
        scale, global_similarity, alignment = backbone.logit_scale, None, None
        if text.global_text is not None:
            by_prompt = torch.einsum("bd,cmd->bcm", image, text.global_text)
            global_similarity = (
                by_prompt.mean(-1)
                if mask.global_prompts is None
                else (
                    (by_prompt * mask.global_prompts[:, None]).sum(-1)
                    / mask.global_prompts.sum(-1, keepdim=True)
                )
            )
        if text.local_text is not None:
            alignment = align(
                patches,
                text.local_text,
                allocation=config.allocation,
                support=config.support,
                top_k=config.top_k,
                epsilon=config.epsilon,
                keep=mask.local_prompts,
                divide_by_prompts=config.divide_by_prompts,
                differentiable=config.differentiable_plan,
                memory=config.local_memory,
                solver=self.solver,
            )
        branches = [
            b for b in (global_similarity, alignment.score if alignment else None) if b is not None
        ]
        return Prediction(
            scale * torch.stack(branches).mean(0),
            branches[0],
            alignment,
            None if global_similarity is None else scale * global_similarity,
            None if alignment is None else scale * alignment.score,
            patches,
            next(
                prompts.mean(1)
                for prompts in (text.local_text, text.global_text)
                if prompts is not None
            ),
            x.grid,
        )

    def _keep(self, images: int, prompts: int, dropout: float) -> Tensor | None:
        """(images, prompts) bool, at least one True a row; None where nothing is dropped."""
        if not self.training or dropout == 0 or prompts <= 1:
            return None
        draw = torch.rand(images, prompts)
        keep = (draw >= dropout) | (draw == draw.amax(-1, keepdim=True))
        return keep.to(self.backbone.device)


def with_template(config: Config, template: str | None, backbone: Backbone) -> Config:
    """A dataset's own prompt where nothing is learned; its words before {} are the context, however many tokens they make.

    Learned contexts keep "a photo of a", which is as long as they are: in CoOp, too, the prompts of single datasets are zero-shot CLIP's.
    """
    if template is None:
        return config
    tokens = backbone.tokenize([template.split("{}")[0]])
    return config.replace(template=template, global_context=tokens.shape[1] - 2)
