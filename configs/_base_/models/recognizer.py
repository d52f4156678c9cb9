"""Recognizer with a classifier; each model adds its backbone."""

from karsl.models import ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    cls_head=dict(type=ClassifierHead, num_classes=502, dropout_ratio=0.3, label_smoothing=0.1),
)

# `karsl train` and `karsl test` set these values to those of the dataset, and log each change. MMEngine's Runner uses them
# as they are here. Remove a path to keep its value.
follow_dataset = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes"]
