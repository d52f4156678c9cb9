"""A LazyDataset in a config: the command line reaches the datasets in it, and the Runner trains on it."""

from __future__ import annotations

from mmengine.config import Config

from karsl.datasets.combine import LazyDataset
from karsl.engine import build_runner, load_config, set_data_root
from karsl.registry import DATASETS

LOAD = dict(type="LoadKeypoints")
FINISH = [dict(type="TSNSampleFrames", clip_len=4), dict(type="CenterScale"), dict(type="PackKeypointInputs")]


def lazy_config(root):
    """Return the config of a filtered mix of two signers."""
    lazy = LazyDataset()
    for signer in ("01", "02"):
        leaf = dict(type="KArSLDataset", data_root=str(root), pipeline=[LOAD], filter_cfg=dict(signers=signer))
        lazy.add_dataset(leaf, name=signer)
    return lazy.filter(dict(split="test")).mix(weights=[1, 1]).map(FINISH).to_config()


def test_the_runner_trains_on_a_lazy_mix(corpus, tmp_path):
    loader = dict(batch_size=4, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True))
    loader |= dict(dataset=lazy_config(corpus), collate_fn=dict(type="keypoint_collate"))
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
    path.write_text(path.read_text(encoding="utf-8").replace(str(corpus), "another/root"), encoding="utf-8")
    cfg = load_config(path)
    set_data_root(cfg, corpus)
    runner = build_runner(cfg)
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert len(dataset) == 2 * 8
    assert (dataset._epoch_state.seed, dataset._epoch_state.epoch) == (runner.seed, 1)
    assert runner.model.cls_head.num_classes == 4


def test_a_lazy_dataset_nests_in_other_wrappers(corpus):
    lazy = lazy_config(corpus)
    sliced = dict(type="SliceDataset", indices=3, dataset=lazy, allow_reshuffled=True)
    both = DATASETS.build(dict(type="ConcatDataset", datasets=[lazy, sliced], seed=1))
    assert len(both) == 16 + 3
    assert both.__getitems__([0, 18]).collate()["inputs"].shape == (2, 4, 184, 3)
