"""A trained model whose text features are fixed: inference needs the image tower alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .config import Config
from .model import SOTGLP, TextFeatures
from .prompts import Share
from .sinkhorn import Transport, sinkhorn

IMAGE_SIDE = ("visual", "logit_scale", "logit_bias")  # what stays of a CLIP without its text tower


class Baked(SOTGLP):
    """A :class:`~sotglp_core.model.SOTGLP` with the text features of its prompts in place of the prompts; it can't be trained.

    :param shared: (C, M, D) features of the global prompts, or None.
    :param local: (C, N, D), or None.
    :param projection: (V, V), or None.
    :raises ValueError: if a feature or the projection does not fit the class names, the config or the backbone.
    """

    shared: Tensor | None
    local: Tensor | None

    def __init__(self, backbone: Backbone, class_names: Sequence[str], config: Config, *, shared: Tensor | None = None,
                 local: Tensor | None = None, projection: Tensor | None = None, solver: Callable[..., Transport] = sinkhorn):
        nn.Module.__init__(self)
        self._held = (backbone,)
        self.class_names, self.config, self.solver = tuple(class_names), config, solver
        self.global_prompts = self.local_prompts = None
        C, V = len(self.class_names), backbone.patch_width
        for name, tensor, shape in (("shared", shared, (C, config.global_prompts, backbone.joint_width)),
                                    ("local", local, (C, config.local_prompts, backbone.joint_width)),
                                    ("projection", projection, (V, V * config.projection))):
            found = None if tensor is None else tuple(tensor.shape)
            if found != (shape if 0 not in shape else None):
                raise ValueError(f"{name} has shape {found}, {shape} is needed; export the model again")
            self.register_buffer(name, None if tensor is None else tensor.detach().to(backbone.device, backbone.wide))

    def text_features(self, share: Share | None = None) -> TextFeatures:
        return TextFeatures(self.shared, self.local)


@torch.no_grad()
def bake(model: SOTGLP) -> Baked:
    """The model with its prompts encoded once and for all; :func:`~sotglp_core.checkpoint.save` writes it, and it predicts as before."""
    text = model.text_features()
    return Baked(model.backbone, model.class_names, model.config, shared=text.shared, local=text.local, projection=model.projection,
                 solver=model.solver).eval()


def drop_text_tower(backbone: Backbone) -> None:
    """Free the text tower's weights; the fingerprint stays that of all weights. Afterwards only images can be encoded."""
    backbone.fingerprint  # noqa: B018, computed while all weights are there, then kept
    text = backbone.text
    for name in [n for n, _ in text.named_children()] + [n for n, _ in text.named_parameters(recurse=False)]:
        if name not in IMAGE_SIDE:
            delattr(text, name)
