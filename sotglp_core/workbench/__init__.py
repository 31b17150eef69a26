"""Experiments, runs, predictions, reports and exports."""
