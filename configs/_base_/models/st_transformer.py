"""Small STTransformer: 1.2 M parameters for karsl_184."""

from karsl.models import ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer, STTransformer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=STTransformer,
        skeleton="karsl_184",
        in_channels=3,
        embed_dims=128,
        depth=4,
        num_heads=4,
        dropout_ratio=0.1,
        max_frames=128,
    ),
    cls_head=dict(
        type=ClassifierHead,
        num_classes=502,
        in_channels=128,
        dropout_ratio=0.3,
        label_smoothing=0.1,
    ),
)

# `karsl train` and `karsl test` set these values to those of the dataset, and log each change. MMEngine's Runner uses them
# as they are here. Remove a path to keep its value.
follow_dataset = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes"]
