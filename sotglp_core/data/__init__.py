"""Images with labels: robust reading, sources of photos, splits, few-shot draws and features."""

from . import download
from .images import FolderImages, Images, read_image

__all__ = ["FolderImages", "Images", "download", "read_image"]
