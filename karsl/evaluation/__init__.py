"""Metrics."""

from karsl.evaluation.accuracy import AccuracyMetric, true_class_ranks
from karsl.evaluation.predictions import DumpPredictions

__all__ = ["AccuracyMetric", "DumpPredictions", "true_class_ranks"]
