"""Tiny Conv1DTransformer for short runs on a CPU."""

from karsl.models import ClassifierHead, Conv1DTransformer, KeypointDataPreprocessor, KeypointRecognizer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=Conv1DTransformer,
        skeleton="karsl_184",
        in_channels=3,
        embed_dims=64,
        stages=1,
        convs=2,
        kernel_size=9,
        num_heads=4,
        dropout_ratio=0.1,
    ),
    cls_head=dict(
        type=ClassifierHead,
        num_classes=502,
        in_channels=64,
        dropout_ratio=0.2,
        label_smoothing=0.1,
    ),
)

# `karsl train` and `karsl test` set these values to those of the dataset, and log each change. MMEngine's Runner uses them
# as they are here. Remove a path to keep its value.
follow_dataset = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes"]
