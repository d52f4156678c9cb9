"""LSFB's folder of isolated signs, as version 2 of the corpus has it."""

from __future__ import annotations

import json

import numpy as np

POINTS = {"pose": 33, "face": 478, "left_hand": 21, "right_hand": 21}


def write_folder(root, clips, *, groups=POINTS, poses="poses", splits=True):
    """Write the folder of clips `(id, sign, signer, frames)`, and return it."""
    rows = ["id,sign,signer,start,end", *(f"{name},{sign},{signer},0,900" for name, sign, signer, _ in clips)]
    (root / "metadata" / "splits").mkdir(parents=True)
    (root / "instances.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    signs = list(dict.fromkeys(sign for _, sign, _, _ in clips))
    numbers = ["sign,class", *(f"{sign},{len(signs) - 1 - n}" for n, sign in enumerate(signs))]
    (root / "metadata" / "sign_to_index.csv").write_text("\n".join(numbers) + "\n", encoding="utf-8")
    for group in groups:
        (root / poses / group).mkdir(parents=True)
    for number, (name, _, _, frames) in enumerate(clips):
        for group in groups:
            np.save(root / poses / group / f"{name}.npy", np.full((frames, groups[group], 3), 0.25 + number / 8))
    if splits:
        names = [name for name, _, _, _ in clips]
        for split, part in {"train": names[:-1], "test": names[-1:], "fold_0": names, "mini_sample": names}.items():
            (root / "metadata" / "splits" / f"{split}.json").write_text(json.dumps(part))
    return root
