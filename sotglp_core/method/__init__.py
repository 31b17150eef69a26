"""Prompts, alignment, losses and the model that composes them."""
