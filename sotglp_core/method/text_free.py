"""A trained model whose text features are fixed: inference needs the image tower alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..clip.backbone import Backbone
from ..config import Config
from ..transport.sinkhorn import Transport, sinkhorn
from .model import SOTGLP, TextFeatures
from .prompts import EncodeSharded

IMAGE_SIDE = ("visual", "logit_scale", "logit_bias")  # what stays of a CLIP without its text tower


class TextFreeSOTGLP(SOTGLP):
    """A :class:`~sotglp_core.method.model.SOTGLP` with the text features of its prompts in place of the prompts; it can't be trained.

    :param global_text: (C, M, D) features of the global prompts, or None.
    :param local_text: (C, N, D), or None.
    :param projection: (V, V), or None.
    :raises ValueError: if a feature or the projection does not fit the class names, the config or the backbone.
    """

    global_text: Tensor | None
    local_text: Tensor | None

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        config: Config,
        *,
        global_text: Tensor | None = None,
        local_text: Tensor | None = None,
        projection: Tensor | None = None,
        solver: Callable[..., Transport] = sinkhorn,
    ):
        nn.Module.__init__(self)
        self._held = (backbone,)
        self.class_names, self.config, self.solver = tuple(class_names), config, solver
        self.global_prompts = self.local_prompts = None
        C, V = len(self.class_names), backbone.patch_width
        for name, tensor, shape in (
            ("global_text", global_text, (C, config.global_prompts, backbone.joint_width)),
            ("local_text", local_text, (C, config.local_prompts, backbone.joint_width)),
            ("projection", projection, (V, V * config.projection)),
        ):
            found = None if tensor is None else tuple(tensor.shape)
            if found != (shape if 0 not in shape else None):
                raise ValueError(
                    f"{name} has shape {found}, {shape} is needed; export the model again"
                )
            self.register_buffer(
                name,
                None
                if tensor is None
                else tensor.detach().to(backbone.device, backbone.compute_dtype),
            )

    def text_features(self, encode_sharded: EncodeSharded | None = None) -> TextFeatures:
        return TextFeatures(self.global_text, self.local_text)


@torch.no_grad()
def text_free(model: SOTGLP) -> TextFreeSOTGLP:
    """The model with its prompts encoded once and for all; :func:`~sotglp_core.learning.checkpoint.save` writes it, and it predicts as before."""
    text = model.text_features()
    return TextFreeSOTGLP(
        model.backbone,
        model.class_names,
        model.config,
        global_text=text.global_text,
        local_text=text.local_text,
        projection=model.projection,
        solver=model.solver,
    ).eval()


def drop_text_tower(backbone: Backbone) -> None:
    """Free the text tower's weights; the fingerprint stays that of all weights. Afterwards only images can be encoded."""
    backbone.fingerprint  # noqa: B018, computed while all weights are there, then kept
    text = backbone.text
    for name in [n for n, _ in text.named_children()] + [
        n for n, _ in text.named_parameters(recurse=False)
    ]:
        if name not in IMAGE_SIDE:
            delattr(text, name)
