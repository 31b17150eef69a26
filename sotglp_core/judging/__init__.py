"""What a model is worth: accuracy, OOD detection, partitions, thresholds."""

from . import ood as ood
from . import partition as partition
