"""Small STTransformer: 1.2 M parameters for karsl_184."""

from karsl.models import ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer, STTransformer

model = dict(
    type=KeypointRecognizer,
    data_preprocessor=dict(type=KeypointDataPreprocessor),
    backbone=dict(
        type=STTransformer,
        skeleton="auto",  # output of the pipeline
        in_channels="auto",  # output of the pipeline
        embed_dims=128,
        depth=4,
        num_heads=4,
        dropout_ratio=0.1,
        max_frames=128,
    ),
    cls_head=dict(
        type=ClassifierHead,
        num_classes="auto",  # from the dataset's metainfo
        in_channels=128,
        dropout_ratio=0.3,
        label_smoothing=0.1,
    ),
)
