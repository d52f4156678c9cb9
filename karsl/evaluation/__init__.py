"""Metrics."""

from karsl.evaluation.metrics import AccuracyMetric, DumpPredictions, rank_of_true_class

__all__ = ["AccuracyMetric", "DumpPredictions", "rank_of_true_class"]
