"""A frozen open_clip model: image tower, dense patch tokens, text tower, weights."""
