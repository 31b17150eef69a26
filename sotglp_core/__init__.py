"""Local and global prompt learning for a frozen CLIP, with sparse optimal transport between patches and prompts."""

from . import figures, ood, partition
from .backbone import load_backbone
from .checkpoint import load, save
from .config import preset, seed_everything
from .evaluation import evaluate
from .inspector import PatchInspector
from .model import SOTGLP
from .sinkhorn import sinkhorn
from .tasks import load_task
from .training import fit

__version__ = "0.1.0"
__all__ = ["SOTGLP", "PatchInspector", "evaluate", "figures", "fit", "load", "load_backbone", "load_task", "ood",
           "partition", "preset", "save", "seed_everything", "sinkhorn"]
