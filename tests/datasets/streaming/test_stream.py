"""A stream gives the batches of a map-style dataset, each clip once, with any loader and collate function."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from karsl.datasets import KeypointDataset, StreamDataset, TarDataset, keypoint_collate
from karsl.datasets.combine import ConcatDataset
from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.registry import DATASETS

COUNT = 60
PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=6, jitter=1.0),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomAffine", rotation_deg=(-10, 10)),
    dict(type="PackKeypointInputs", with_score=True),
]


def open_stream(path, **options) -> StreamDataset:
    layout = {"layout": "hand_42"} if str(path).endswith("arrays") else {}
    return StreamDataset(str(path), PIPELINE, **{"seed": 5, "window": 20, "block_size": 7, **layout, **options})


def batches(dataset, *, batch_size=8, workers=0, collate=keypoint_collate, **options) -> list[dict]:
    return list(DataLoader(dataset, batch_size, num_workers=workers, collate_fn=collate, **options))


def equal(one: list[dict], two: list[dict]) -> bool:
    pairs = list(zip(one, two, strict=True))
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)


@pytest.mark.parametrize("store", ["pack", "tars", "arrays"])
def test_batches_are_those_of_the_map_style_dataset_in_the_same_order(stores, store):
    stream = open_stream(stores / store)
    order = stream.order(5, 0).indices(np.arange(COUNT))
    if store == "pack":
        data = KeypointDataset("annotations.json", data_root=str(stores / "pack"), pipeline=PIPELINE, seed=5)
    elif store == "arrays":
        data = KeypointDataset(data_root=str(stores / "arrays"), layout="hand_42", pipeline=PIPELINE, seed=5)
    else:
        data = TarDataset(stores / "tars", PIPELINE, seed=5)
    assert len(stream) == len(data) == COUNT
    assert equal(batches(stream), batches(data, sampler=order.tolist()))
    assert stream.skeleton.name == data.metainfo["skeleton"] == "hand_42"


@pytest.mark.parametrize("store", ["pack", "tars", "arrays"])
def test_batches_do_not_depend_on_the_number_of_workers(stores, store):
    stream = open_stream(stores / store, batch_size=8)
    alone = batches(stream)
    assert sorted(torch.cat([b["sample_idx"] for b in alone]).tolist()) == list(range(COUNT))
    assert equal(alone, batches(stream, workers=1))
    assert equal(alone, batches(stream, workers=2, multiprocessing_context="spawn" if store == "tars" else "fork"))
    assert equal(alone, batches(stream, workers=3))


def test_tars_packs_and_array_files_give_the_same_batches(stores):
    pack, tars, arrays = (batches(open_stream(stores / store, shuffle=False)) for store in ("pack", "tars", "arrays"))
    assert equal(pack, tars)
    assert equal(pack, arrays)


def test_other_collate_functions_receive_ordinary_dicts(stores):
    stream = open_stream(stores / "tars", batch_size=8)
    made = batches(stream)
    assert equal(made, batches(stream, collate=None))
    lists = batches(stream, collate=pseudo_collate, workers=2)
    assert type(lists[0]) is dict
    assert torch.equal(torch.stack(lists[0]["inputs"]), made[0]["inputs"])
    seen = batches(stream, collate=lambda samples: [isinstance(s, dict) and {**s, "own": s.get("label")} for s in samples])
    assert torch.equal(seen[0][0]["inputs"], made[0]["inputs"][0])
    assert set(seen[0][0]) == {"inputs", "keypoint_mask", "label", "sample_idx", "own"}


def test_a_sample_behaves_as_the_dict_it_becomes(stores):
    stream = open_stream(stores / "tars")
    expected = stream.dataset[int(stream.order(5, 0).indices(np.array([0]))[0])]
    uses = (
        dict,
        lambda s: {**s},
        lambda s: s | {},
        lambda s: {} | s,
        lambda s: s.copy(),
        lambda s: dict(s.items()),
        lambda s: pickle.loads(pickle.dumps(s)),
        lambda s: {key: s[key] for key in s},
    )
    for use in uses:
        sample = next(iter(stream))
        made = use(sample)
        assert made.keys() == expected.keys()
        assert torch.allclose(made["inputs"], expected["inputs"], atol=1e-6)
    sample = next(iter(stream))
    assert (len(sample), "label" in sample, sample.pop("label"), len(sample)) == (4, True, expected["label"], 3)
    assert keypoint_collate([next(iter(stream))])["inputs"].shape == (1, 6, 42, 4)


def test_epochs_differ_and_a_second_pass_does_not(stores):
    stream = open_stream(stores / "tars", batch_size=8)
    loader = DataLoader(stream, 8, num_workers=2, collate_fn=keypoint_collate, persistent_workers=True)
    first, again = list(loader), list(loader)
    stream.set_epoch(1)
    second = list(loader)
    assert equal(first, again)
    assert torch.cat([b["sample_idx"] for b in first]).tolist() != torch.cat([b["sample_idx"] for b in second]).tolist()
    index = int(first[0]["sample_idx"][0])
    at = [b["inputs"][b["sample_idx"] == index] for b in second if index in b["sample_idx"]]
    assert not torch.equal(first[0]["inputs"][0], at[0][0]), "another epoch has other random numbers"


@pytest.mark.parametrize("store", ["pack", "arrays"])
def test_a_pass_resumes_after_any_number_of_clips_with_any_number_of_workers(stores, store):
    stream = open_stream(stores / store, batch_size=8, remainder="uneven")
    complete = batches(stream)
    for done, workers in ((1, 0), (3, 2), (7, 1)):
        killed, resumed = open_stream(stores / store, seed=None), open_stream(stores / store, seed=None, batch_size=8)
        killed.load_state_dict({"seed": 5, "epoch": 0, "consumed": 0})
        for batch in complete[:done]:
            killed.advance(len(batch["label"]))
        resumed.load_state_dict(killed.state_dict())
        assert equal(complete[done:], batches(resumed, workers=workers))
        assert len(resumed) == COUNT


def test_transforms_that_are_not_deferred_see_the_same_clips(stores):
    own = [*PIPELINE[:-1], lambda results: {**results, "keypoint": results["keypoint"] * 2}, PIPELINE[-1]]
    stream = StreamDataset(str(stores / "tars"), own, seed=5, window=20, block_size=7)
    assert torch.allclose(
        batches(stream)[0]["inputs"][..., :3], batches(open_stream(stores / "tars"))[0]["inputs"][..., :3] * 2
    )


def test_any_dataset_or_its_config_can_be_streamed(stores):
    cfg = dict(type="KeypointDataset", ann_file="annotations.json", data_root=str(stores / "pack"), pipeline=PIPELINE)
    built = DATASETS.build(dict(type="StreamDataset", source=cfg, seed=5, window=20, block_size=7))
    assert equal(batches(built), batches(open_stream(stores / "pack")))
    part = KeypointDataset(**{k: v for k, v in cfg.items() if k != "type"}, seed=5, indices=[3, 4, 40])
    found = batches(StreamDataset(part, seed=5), batch_size=2)
    assert sorted(torch.cat([b["sample_idx"] for b in found]).tolist()) == [0, 1, 2]


def path_of(stores, kind):
    return str(stores / ("pack" if kind is KeypointDataset else "tars"))


def pack_of(stores, pipeline=PIPELINE, **options):
    return KeypointDataset("annotations.json", data_root=str(stores / "pack"), pipeline=pipeline, **options)


@pytest.mark.parametrize("kind", [TarDataset, KeypointDataset])
def test_a_dataset_passed_with_another_pipeline_is_not_changed(stores, kind):
    dataset = pack_of(stores, seed=5) if kind is KeypointDataset else TarDataset(stores / "tars", PIPELINE, seed=5)
    steps, sample = dataset.pipeline, dataset[3]
    short = [PIPELINE[0], dict(type="PadTo", clip_len=3), PIPELINE[-1]]
    stream, other = (StreamDataset(source, short, window=20, block_size=7) for source in (dataset, path_of(stores, kind)))
    for each in (stream, other):
        each.set_epoch(2, seed=5)
    assert batches(stream)[0]["inputs"].shape == (8, 3, 42, 4)
    assert dataset.pipeline is steps
    assert torch.equal(dataset[3]["inputs"], sample["inputs"]), "the same epoch as before"
    assert stream.dataset.index is dataset.index
    assert equal(batches(stream), batches(other))


def test_options_that_a_built_dataset_cannot_accept_raise(stores):
    dataset = pack_of(stores)
    for options in (dict(filter_cfg=dict(signs=[7])), dict(nonsense=1), dict(on_error="skip"), dict(skeleton="hand_42")):
        with pytest.raises(ConfigError, match=rf"pass {next(iter(options))} to the KeypointDataset itself"):
            StreamDataset(dataset, **options)
    StreamDataset(pack_of(stores, on_error="skip"), on_error="skip")
    with pytest.raises(ConfigError, match="a ConcatDataset accepts no pipeline; apply the transforms with MapDataset"):
        StreamDataset(ConcatDataset([dataset]), PIPELINE)
    cfg = dict(type="KeypointDataset", ann_file="annotations.json", data_root=str(stores / "pack"), pipeline=PIPELINE)
    assert len(StreamDataset(cfg, filter_cfg=dict(signs=[7]))) == 20
    with pytest.raises(ConfigError, match="filter_cfg differs from that of the source's config; pass one of them"):
        StreamDataset({**cfg, "filter_cfg": dict(signs=[8])}, filter_cfg=dict(signs=[7]))


def test_filters_remove_clips_from_the_stream(stores):
    stream = open_stream(stores / "tars", filter_cfg=dict(signs=(7, 9)))
    found = torch.cat([b["label"] for b in batches(stream)]).tolist()
    assert len(stream) == len(found) == 40
    assert set(found) == {0, 2}


def test_mmengine_builds_its_loader(stores):
    cfg = dict(
        dataset=dict(
            type="karsl.StreamDataset", source=str(stores / "tars"), pipeline=PIPELINE, batch_size=8, window=20, block_size=7
        ),
        sampler=None,
        batch_size=8,
        num_workers=2,
        collate_fn=dict(type="karsl.keypoint_collate"),
    )
    loader = Runner.build_dataloader(cfg, seed=5)
    loader.dataset.set_epoch(0, seed=5)
    assert len(loader) == 8
    assert equal(list(loader), batches(open_stream(stores / "tars")))


def test_workers_need_the_batch_size_of_the_loader(stores):
    wrong = {
        "no batch size for 2 workers; pass that of the loader as batch_size=": {},
        "batches of 6 clips from a stream": {"batch_size": 8},
    }
    for error, options in wrong.items():
        loading = iter(DataLoader(open_stream(stores / "tars", **options), 6, num_workers=2, collate_fn=keypoint_collate))
        with pytest.raises(ConfigError, match=error):
            next(loading)
        loading._shutdown_workers()  # the error keeps it alive, and each worker takes 5 s to stop
    assert len(batches(open_stream(stores / "tars", batch_size=8), batch_size=6)) == 10, (
        "without workers any batch size is accepted"
    )


@pytest.mark.parametrize("store", ["pack", "tars", "tars/clips-000000.tar"])
def test_a_file_url_is_a_path(stores, store):
    assert equal(batches(open_stream(f"file://{stores}/{store}")), batches(open_stream(stores / store)))


def test_invalid_sources_raise(stores, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="contains neither tars nor a pack"):
        StreamDataset(str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match="no shard"):
        StreamDataset(str(tmp_path / "x-{0..3}.tar"))
    for source in (5, []):
        with pytest.raises(ConfigError, match=rf"source={re.escape(repr(source))}; expected a path"):
            StreamDataset(source, PIPELINE)
    for window in (0, 1.5, "a"):
        with pytest.raises(ConfigError, match=f"window={window!r}; expected an integer from 1 to"):
            open_stream(stores / "pack", window=window)
    with pytest.raises(ConfigError, match="batch_size=0"):
        open_stream(stores / "pack", batch_size=0)
