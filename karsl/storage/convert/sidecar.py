"""`clips.json`: what a form has no place for - signers, splits, glosses - beside the files, in OpenMMLab's format.

Other tools pass it by; without it, folders are classes and file names are clips.
"""

from __future__ import annotations

from pathlib import Path

from karsl.errors import AnnotationError, DatasetNotFoundError
from karsl.io.annotations import parse_annotations

SIDECAR = "clips.json"


def read_sidecar(folder: Path) -> tuple[dict, list[dict]] | None:
    """Metainfo and records that lie in a folder, or None where no sidecar does.

    Raises:
        AnnotationError: It is not in its format, or a record lacks its file.
    """
    path = folder / SIDECAR
    if not path.is_file():
        return None
    metainfo, records = parse_annotations(path)
    needed = ("clip_id", "label", "num_frames", "file")
    lacking = [key for key in needed if any(key not in r for r in records)]
    if lacking or "classes" not in metainfo:
        raise AnnotationError(
            f"{path}: without {lacking or 'classes'}; remove the file to read folders as classes, or convert again"
        )
    return metainfo, records


def records_of_folders(root: Path, pattern: str) -> tuple[dict, list[dict]]:
    """Metainfo and records where each file below a folder is a clip and the folder it lies in its class.

    Args:
        root: Of the files; files that lie in it directly are of the class called like the root.
        pattern: Of the files' names.

    Raises:
        DatasetNotFoundError: There is none.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("thanks/b.pose", "hello/a.pose"):
        ...     (root / name).parent.mkdir(); (root / name).touch()
        >>> metainfo, records = records_of_folders(root, "*.pose")
        >>> metainfo["classes"], records[0]
        (('hello', 'thanks'), {'clip_id': 'hello/a', 'label': 0, 'file': 'hello/a.pose'})
    """
    files = sorted(p.relative_to(root) for p in root.rglob(pattern) if not p.name.startswith("."))
    if not files:
        raise DatasetNotFoundError(
            f"no {pattern} in {root}; expected files like 'hello/001{pattern[1:]}', folders are classes"
        )
    classes = tuple(sorted({_class_of(root, f) for f in files}))
    label = {name: i for i, name in enumerate(classes)}
    records = [
        {"clip_id": f.with_suffix("").as_posix(), "label": label[_class_of(root, f)], "file": f.as_posix()} for f in files
    ]
    return {"dataset_name": root.name, "classes": classes}, records


def _class_of(root: Path, file: Path) -> str:
    return file.parent.name or root.name
