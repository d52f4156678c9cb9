"""Tiny STTransformer for short runs on a CPU: 0.17 M parameters for karsl_184."""

from karsl.models import ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer, STTransformer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=STTransformer,
        skeleton="auto",
        in_channels="auto",
        embed_dims=64,
        depth=2,
        num_heads=4,
        dropout_ratio=0.1,
    ),
    cls_head=dict(type=ClassifierHead, num_classes="auto", in_channels=64, dropout_ratio=0.2, label_smoothing=0.1),
)
