"""Tiny STGCN for short runs on a CPU."""

from karsl.models import STGCN, ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=STGCN,
        skeleton="karsl_184",
        in_channels=3,
        channels=(16, 16, 32, 32),
        strides=(2,),
    ),
    cls_head=dict(
        type=ClassifierHead,
        num_classes=502,
        in_channels=32,
        dropout_ratio=0.2,
        label_smoothing=0.1,
    ),
)

# `karsl train` and `karsl test` set these values to those of the dataset, and log each change. MMEngine's Runner uses them
# as they are here. Remove a path to keep its value.
follow_dataset = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes"]
