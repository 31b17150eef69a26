"""Models in which nothing is left to learn: cached text features, zero-shot CLIP, other classes."""

from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from ..clip.backbone import Backbone
from ..recipes import recipe
from .model import SOTGLP


@torch.no_grad()
def text_free(model: SOTGLP) -> SOTGLP:
    """The model with its prompts encoded once and for all, in evaluation mode.

    Inference then needs the image tower alone, and predictions stay the same;
    :func:`~sotglp_core.learning.checkpoint.save` writes it. It can't be trained.
    """
    free = SOTGLP(
        model.backbone, model.class_names, model.config, solver=model.solver, text_free=True
    )
    state = {f"{name}.features": x(model.backbone) for name, x in model.named_children()}
    if model.projection is not None:
        state["projection"] = model.projection
    free.load_state_dict(state)
    return free.eval()


@torch.no_grad()
def zero_shot(
    backbone: Backbone, class_names: Sequence[str], templates: Sequence[str] = ("a photo of a {}.",)
) -> SOTGLP:
    """CLIP as it is: t_c = unit vector along the mean over the templates of unit text features.

    :param templates: each with {} for the class name; several are CLIP's prompt ensembling.
    :return: a text-free model.
    :raises ValueError: if there is no template, or one has not one {}.

    Source: Radford et al., ICML 2021 (arXiv 2103.00020), section 3.1.4.
    """
    configs = [recipe("zeroshot", backbone=backbone.name, template=x) for x in templates]
    if not configs:
        raise ValueError("there is no template; give at least one, such as 'a photo of a {}.'")
    texts = ([x.replace("{}", name) for name in class_names] for x in templates)
    features = torch.stack([backbone.encode_text(filled) for filled in texts])  # (templates, C, D)
    mean = normalize(features.to(backbone.compute_dtype), dim=-1).mean(0)
    model = SOTGLP(backbone, class_names, configs[0], text_free=True)
    model.load_state_dict({"global_prompts.features": normalize(mean, dim=-1)[:, None]})
    return model.eval()


@torch.no_grad()
def with_classes(model: SOTGLP, class_names: Sequence[str]) -> SOTGLP:
    """What was learned, applied to other classes, in evaluation mode: base-to-new generalisation.

    Shared contexts go with every name. Class-specific ones go only with the classes that they were
    learned for, of which ``class_names`` may be a part.

    :raises ValueError: if there are no contexts for a class.
    """
    if model.text_free:
        raise ValueError("this model holds no prompts; take the one that it was made from")
    state, known = model.state_dict(), model.class_names
    specific = [name for name, x in state.items() if name.endswith(".context") and len(x) > 1]
    unknown = [name for name in class_names if name not in known]
    if specific and unknown:
        raise ValueError(
            f"there are no contexts for {unknown[0]!r}: the model's are class-specific, each "
            "learned for one class; train with shared ones, as the preset 'coop' does"
        )
    for name in specific:
        state[name] = state[name][[known.index(word) for word in class_names]]
    other = SOTGLP(model.backbone, class_names, model.config, solver=model.solver)
    other.load_state_dict(state)
    return other.eval()
