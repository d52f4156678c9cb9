"""A recorded dataset in a config: the command line reaches the datasets in it, and the Runner trains on it."""

from __future__ import annotations

from mmengine.config import Config

from karsl.engine import build_runner, load_config, set_data_root
from karsl.registry import DATASETS

LOAD = dict(type="LoadKeypoints")
FINISH = [dict(type="TSNSampleFrames", clip_len=4), dict(type="CenterScale"), dict(type="PackKeypointInputs")]


def steps(root):
    leaf = dict(type="KArSLDataset", data_root=root, pipeline=[LOAD])
    return [
        *(dict(do="add_dataset", name=s, dataset={**leaf, "filter_cfg": dict(signers=s)}) for s in ("01", "02")),
        dict(do="filter", keep=dict(split="test")),
        dict(do="mix", weights=[1, 1]),
        dict(do="map", transform=FINISH),
    ]


def test_the_runner_trains_on_a_recorded_mix(corpus, tmp_path):
    loader = dict(batch_size=4, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True))
    loader |= dict(dataset=dict(type="LazyDataset", steps=steps("elsewhere")), collate_fn=dict(type="keypoint_collate"))
    backbone = dict(type="STTransformer", skeleton="auto", in_channels="auto", embed_dims=8, depth=1, num_heads=2)
    head = dict(type="ClassifierHead", num_classes="auto", in_channels=8)
    path = tmp_path / "run.py"
    model = dict(type="KeypointRecognizer", backbone=backbone, cls_head=head)
    model |= dict(data_preprocessor=dict(type="KeypointDataPreprocessor"))
    cfg = dict(
        default_scope="karsl",
        model=model,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01)),
        work_dir=str(tmp_path / "run"),
    )
    Config(cfg).dump(path)
    cfg = load_config(path)
    set_data_root(cfg, corpus)
    runner = build_runner(cfg)
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert len(dataset) == 2 * 8
    assert dataset.draws_of() == (runner.seed, 1)
    assert runner.model.cls_head.num_classes == 4


def test_a_recorded_dataset_nests_in_combinators(corpus):
    lazy = dict(type="LazyDataset", steps=steps(str(corpus)))
    both = DATASETS.build(
        dict(
            type="ConcatDataset",
            datasets=[lazy, dict(type="SliceDataset", indices=3, dataset=lazy, of_each_epoch=True)],
            seed=1,
        )
    )
    assert len(both) == 16 + 3
    assert both.__getitems__([0, 18]).collate()["inputs"].shape == (2, 4, 184, 3)
