"""Local and global prompt learning for a frozen CLIP, with sparse optimal transport between patches and prompts."""

from . import figures
from .clip.backbone import load_backbone
from .config import preset, seed_everything
from .data.task import load_task
from .inspector import PatchInspector
from .judging import ood, partition
from .judging.evaluation import evaluate
from .learning.checkpoint import load, save
from .learning.training import fit
from .method.model import SOTGLP
from .recipes import recipe
from .transport.sinkhorn import sinkhorn

__version__ = "0.1.0"
__all__ = [
    "SOTGLP",
    "PatchInspector",
    "evaluate",
    "figures",
    "fit",
    "load",
    "load_backbone",
    "load_task",
    "ood",
    "partition",
    "preset",
    "recipe",
    "save",
    "seed_everything",
    "sinkhorn",
]
