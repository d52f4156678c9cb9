"""Metrics, score files, and their statistics."""

from karsl.discovery import import_modules
from karsl.evaluation.class_metrics import ConfusionMatrixMetric, PerClassMetric
from karsl.evaluation.dump import DumpScores, dump_metric
from karsl.evaluation.fuse import fuse_scores, search_weights
from karsl.evaluation.metrics import AccuracyMetric, DumpPredictions, rank_of_true_class
from karsl.evaluation.report import compare, evaluate
from karsl.evaluation.scores import Scores, join_folds, match_clips, read_scores, write_scores

__all__ = [
    "AccuracyMetric",
    "ConfusionMatrixMetric",
    "DumpPredictions",
    "DumpScores",
    "PerClassMetric",
    "Scores",
    "compare",
    "dump_metric",
    "evaluate",
    "fuse_scores",
    "join_folds",
    "match_clips",
    "rank_of_true_class",
    "read_scores",
    "search_weights",
    "write_scores",
]

import_modules(__name__, __path__)
