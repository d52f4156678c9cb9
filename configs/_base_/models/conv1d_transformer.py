"""Conv1DTransformer with its default size."""

from karsl.models import ClassifierHead, Conv1DTransformer, KeypointDataPreprocessor, KeypointRecognizer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=Conv1DTransformer,
        skeleton="karsl_184",
        in_channels=3,
        embed_dims=192,
        stages=2,
        convs=3,
        kernel_size=17,
        num_heads=4,
        dropout_ratio=0.2,
        shape_groups=("rh", "lh"),
    ),
    cls_head=dict(
        type=ClassifierHead,
        num_classes=502,
        in_channels=192,
        dropout_ratio=0.3,
        label_smoothing=0.1,
    ),
)

# `karsl train` and `karsl test` set these values to those of the dataset, and log each change. MMEngine's Runner uses them
# as they are here. Remove a path to keep its value.
follow_dataset = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes"]
