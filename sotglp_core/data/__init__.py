"""Images with labels: robust reading, sources of photos, splits, few-shot draws and features."""

from . import download
from .images import FolderImages, Images, read_image
from .sampling import few_shot

__all__ = ["FolderImages", "Images", "download", "few_shot", "read_image"]
