"""The table of forms: what each is, who reads and writes it, what it cannot hold, and how a path is recognised."""

from __future__ import annotations

from pathlib import Path

from karsl.errors import ConfigError, did_you_mean
from karsl.storage.convert.annotation import open_annotation, write_annotated
from karsl.storage.convert.asl_app import open_asl_app
from karsl.storage.convert.column_archives import open_holistic, open_msl, write_holistic
from karsl.storage.convert.column_block import open_block, write_block
from karsl.storage.convert.column_frames import open_frames, write_frames
from karsl.storage.convert.form import Form
from karsl.storage.convert.kaggle import open_kaggle, write_kaggle
from karsl.storage.convert.karsl_block import open_karsl_block
from karsl.storage.convert.karsl_root import open_karsl, write_karsl
from karsl.storage.convert.looks import (
    folder_with,
    has_frames,
    is_annotation,
    is_asl_app,
    is_data_root,
    never,
    rows_of,
    suffix,
)
from karsl.storage.convert.parquet import open_parquet, write_parquet
from karsl.storage.convert.pose_files import open_pose, write_pose
from karsl.storage.convert.pyskl import open_pyskl, write_pyskl, write_pyskl_2d
from karsl.storage.convert.spoter import open_spoter, write_spoter
from karsl.storage.convert.tar import open_tars, write_tar
from karsl.storage.folder_names import layout_seen

_WHOLE = frozenset({"z", "score", "mask"})
_TABLE = (
    Form(
        "pack",
        "shards that are mapped, with checksums; 'karsl pack' writes them from any form here",
        "everything",
        lambda path: (path / "manifest.json").is_file(),
        reader=open_annotation,
    ),
    Form(
        "annotation",
        "annotations.json that points to clips, as a pack has one; written with one .npz a class",
        "nothing",
        is_annotation,
        reader=open_annotation,
        writer=write_annotated,
        takes_half=True,
    ),
    Form(
        "karsl",
        "<signer>-<split>/<sign>.npz and labels.csv, as KArSL lies on disks",
        "clips without SignID, signer and split are refused",
        is_data_root,
        reader=open_karsl,
        writer=write_karsl,
        takes_half=True,
        takes_sheet=True,
    ),
    Form(
        "karsl-block",
        "{split}_X.mmap and three files beside it: the reference KArSL project's block; read with --trust-pickle FILE",
        "everything",
        folder_with("*_X.mmap"),
        reader=open_karsl_block,
        takes_sheet=True,
    ),
    Form(
        "tar",
        "WebDataset: clips-000000.tar, a .npy and a .json a clip, and an index",
        "nothing",
        lambda path: suffix(".tar")(path) or folder_with("*.tar")(path),
        reader=open_tars,
        writer=write_tar,
        takes_half=True,
    ),
    Form(
        "parquet",
        "<split>-00000-of-00001.parquet, a row a clip; Hugging Face datasets load it",
        "nothing",
        lambda path: suffix(".parquet")(path) or (folder_with("*.parquet")(path) and not (path / "train.csv").exists()),
        reader=open_parquet,
        writer=write_parquet,
        keeps=_WHOLE,
        takes_half=True,
        needs="parquet",
    ),
    Form(
        "pose",
        "<class>/<clip>.pose, MediaPipe Holistic or OpenPose; pose-format reads it",
        "nothing; read: world landmarks, further persons",
        lambda path: suffix(".pose")(path) or (path.is_dir() and next(path.rglob("*.pose"), None) is not None),
        reader=open_pose,
        writer=write_pose,
        keeps=_WHOLE,
        needs="pose",
    ),
    Form(
        "pyskl",
        "one pickle of mmaction2 and pyskl: keypoint (M, T, V, 3), keypoint_score; read with --trust-pickle FILE",
        "nothing; read: further persons",
        suffix(".pkl", ".pickle"),
        reader=open_pyskl,
        writer=write_pyskl,
        is_file=True,
        keeps=_WHOLE,
        takes_half=True,
    ),
    Form(
        "pyskl2d",
        "the same with keypoint (M, T, V, 2), for 2D models",
        "z",
        never,
        reader=open_pyskl,
        writer=write_pyskl_2d,
        is_file=True,
        keeps=frozenset({"score", "mask"}),
        takes_half=True,
    ),
    Form(
        "holistic",
        "<class>.npz, a key a clip, 1662 columns a frame: pose 33 x 4, face 468 x 3, hands 21 x 3",
        "points outside MediaPipe Holistic's 543; scores of face and hands",
        rows_of(1662),
        reader=open_holistic,
        writer=write_holistic,
        skeleton="holistic_543",
    ),
    Form(
        "holistic-frames",
        "<class>/<clip>/<frame>.npy, 1662 columns",
        "as holistic",
        has_frames,
        reader=open_frames,
        writer=write_frames,
        skeleton="holistic_543",
    ),
    Form(
        "holistic-block",
        "X.npy (clips, frames, 1662) and y.npy",
        "as holistic; clips of different lengths are refused",
        lambda path: (path / "X.npy").is_file() or suffix(".npy")(path),
        reader=open_block,
        writer=write_block,
        skeleton="holistic_543",
    ),
    Form(
        "kaggle",
        "train.csv and a .parquet a clip, as in Kaggle's ASL-signs: 543 rows a frame",
        "points outside MediaPipe Holistic's 543; scores",
        lambda path: (path / "train.csv").is_file(),
        reader=open_kaggle,
        writer=write_kaggle,
        skeleton="kaggle_543",
        keeps=frozenset({"z", "mask"}),
        needs="parquet",
    ),
    Form(
        "spoter",
        "SPOTER's CSV: a row a clip, 54 points, x and y",
        "points outside SPOTER's 54; z; scores",
        suffix(".csv"),
        reader=open_spoter,
        writer=write_spoter,
        is_file=True,
        skeleton="spoter_54",
        keeps=frozenset(),
    ),
    Form(
        "msl150",
        "<word>.npz, a key a clip, 226 columns a frame: pose 25 x 4, hands 21 x 3 (MSL-150)",
        "everything",
        rows_of(226),
        reader=open_msl,
        skeleton="msl_226",
    ),
    Form(
        "asl-app",
        "<sign>.json, a list of frames by group (ASL-App)",
        "everything",
        is_asl_app,
        reader=open_asl_app,
        skeleton="asl_app_108",
    ),
)

FORMS: dict[str, Form] = {form.name: form for form in _TABLE}
"""Every form by its name, in the order in which a path is tried."""


def find_form(name: str) -> Form:
    """The form of a name.

    Raises:
        ConfigError: There is none; the nearest is named.

    Example:
        >>> find_form("karsl").name
        'karsl'
    """
    if name in FORMS:
        return FORMS[name]
    hint = did_you_mean(name, FORMS, f"forms are {', '.join(FORMS)}")
    raise ConfigError(f"no form {name!r}{hint}")


def guess_form(path: Path) -> Form:
    """The first form of the table that a path looks like.

    Raises:
        ConfigError: It looks like none.
    """
    for form in FORMS.values():
        if form.looks_like(path):
            return form
    seen = f"; for KArSL's folders: {layout_seen(path)}" if path.is_dir() else ""
    raise ConfigError(f"{path} looks like none of the forms {', '.join(FORMS)}; say which with --from FORM (form=...){seen}")
