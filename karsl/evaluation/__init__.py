"""Metrics."""

from karsl.discovery import import_modules
from karsl.evaluation.metrics import AccuracyMetric, DumpPredictions, rank_of_true_class

__all__ = ["AccuracyMetric", "DumpPredictions", "rank_of_true_class"]

import_modules(__name__, __path__)
