"""Three birds for the inspector, and a model whose prompts have moved from where they began."""

import torch

from sotglp_core import SOTGLP, load_backbone, recipe
from sotglp_core.data.embedded import species_images
from sotglp_core.judging.partition import effective_prompts, entropy_ratio, prompt_overlap
from sotglp_core.pocket.traits import SPECIES

NAMES = tuple(SPECIES)[:7]
CLASSES = len(NAMES)


def birds():
    """Images of the first, the third and the last of the seven species."""
    return species_images("test", 1, names=NAMES).subset([0, 2, 6])


def moved_model(**changes):
    """In float64, so that what differs from the page's numbers is the page's."""
    model = SOTGLP(load_backbone(precision="fp64"), NAMES, recipe("sotglp", **changes)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += 0.3 * parameter.std() * noise
    return model


@torch.no_grad()
def expected(model, images, state):
    """What Python says of the state's image and class under the state's settings."""
    settings = {name: state[name] for name in ("allocation", "epsilon", "support")}
    twin = SOTGLP(model.backbone, NAMES, model.config.replace(**settings)).eval()
    if state["stage"] == "learned":
        twin.load_state_dict(model.state_dict())
    pixels = model.backbone.preprocess(images[state["image"]])[None]
    seen = twin(pixels)
    c = int(model(pixels).logits[0].argsort(descending=True)[state["class_index"]])
    plan = seen.alignment.plan[0, c]
    return {
        "name": NAMES[c],
        "masses": seen.plan_on_grid()[0, c].flatten(1).T,  # (P, N)
        "score": float(seen.alignment.score[0, c]),
        "probability": float(seen.logits[0].softmax(-1)[c]),
        "entropyRatio": float(entropy_ratio(plan)),
        "overlap": float(prompt_overlap(plan)),
        "effectivePrompts": float(effective_prompts(plan)),
        "evenShare": 1 / plan.numel(),
    }
