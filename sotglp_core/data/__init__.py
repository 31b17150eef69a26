"""Images with labels: robust reading, folders of photos, splits and few-shot draws."""

from .folders import folder_splits
from .images import FolderImages, Images, read_image
from .sampling import few_shot

__all__ = ["FolderImages", "Images", "few_shot", "folder_splits", "read_image"]
