"""What a model is worth: accuracy, OOD detection, partitions, thresholds."""
