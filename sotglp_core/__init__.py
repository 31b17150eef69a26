"""Local and global prompt learning for a frozen CLIP, with sparse transport between patches and prompts.

Each public name is imported from its room when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import figures as figures
    from .clip.backbone import load_backbone as load_backbone
    from .config import PRESETS as PRESETS
    from .config import preset as preset
    from .config import seed_everything as seed_everything
    from .data.embedded import ood_images as ood_images
    from .data.embedded import species_images as species_images
    from .data.features import encode as encode
    from .data.images import read_image as read_image
    from .data.task import load_task as load_task
    from .inspector import PatchInspector as PatchInspector
    from .judging import ood as ood
    from .judging import partition as partition
    from .judging.evaluation import evaluate as evaluate
    from .judging.evaluation import outputs as outputs
    from .judging.threshold import fit_threshold as fit_threshold
    from .learning.checkpoint import load as load
    from .learning.checkpoint import save as save
    from .learning.training import fit as fit
    from .method.losses import prompt_loss as prompt_loss
    from .method.model import SOTGLP as SOTGLP
    from .recipes import recipe as recipe
    from .transport.sinkhorn import sinkhorn as sinkhorn
    from .workbench.predict import predict as predict
    from .workbench.published import published as published

__version__ = "0.1.0"

ROOM = {
    "SOTGLP": "method.model",
    "PRESETS": "config",
    "PatchInspector": "inspector",
    "encode": "data.features",
    "evaluate": "judging.evaluation",
    "figures": "figures",
    "fit": "learning.training",
    "fit_threshold": "judging.threshold",
    "load": "learning.checkpoint",
    "load_backbone": "clip.backbone",
    "load_task": "data.task",
    "ood": "judging.ood",
    "ood_images": "data.embedded",
    "outputs": "judging.evaluation",
    "partition": "judging.partition",
    "predict": "workbench.predict",
    "preset": "config",
    "prompt_loss": "method.losses",
    "published": "workbench.published",
    "read_image": "data.images",
    "recipe": "recipes",
    "save": "learning.checkpoint",
    "seed_everything": "config",
    "sinkhorn": "transport.sinkhorn",
    "species_images": "data.embedded",
}
WHOLE = ("figures", "ood", "partition")  # public as modules
__all__ = sorted(ROOM)


def __getattr__(name: str) -> Any:
    if name not in ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{ROOM[name]}", __name__)
    value = module if name in WHOLE else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
