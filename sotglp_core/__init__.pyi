"""The public names, each imported from its room when it is first asked for."""

from . import figures as figures
from .clip.backbone import load_backbone as load_backbone
from .config import PRESETS as PRESETS
from .config import preset as preset
from .config import seed_everything as seed_everything
from .data import download as download
from .data.catalogue import CATALOGUE as CATALOGUE
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
from .method.fixed import with_classes as with_classes
from .method.fixed import zero_shot as zero_shot
from .method.losses import prompt_loss as prompt_loss
from .method.model import SOTGLP as SOTGLP
from .recipes import recipe as recipe
from .transport.sinkhorn import sinkhorn as sinkhorn
from .workbench.experiments import Bench as Bench
from .workbench.plan import plan as plan
from .workbench.predict import predict as predict
from .workbench.published import published as published

__version__: str
