"""Layers of the package: a module imports only lower layers. Type imports and imports inside functions count."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import karsl

ROOT = Path(karsl.__file__).parent

# From below: a module imports what is in an earlier group, never what is in its own group or a later one. `__init__` of a
# package re-exports names, so no module of the package imports it. Packages that are not listed have no order, but no circle
# either. `*` stands for every other module of a package, so that a new file needs no edit here; it is above the modules that
# a new one may use. A new module that a named one, or another new one, imports gets its own place below that.
ORDER: dict[str, str] = {
    "": (
        "version errors discovery plugins terminal | registry checks progress schema | __init__ | skeletons | io |"
        " pack webdataset | formats | audit extract | datasets |"
        " models engine evaluation visualization profiling ray testing | inference | cli | __main__"
    ),
    "datasets": (
        "rng transfer collate index splits | state records transforms table refetch | batching pipeline listing | tree |"
        " order keypoint_dataset | karsl combine streaming | * | __init__"
    ),
    "datasets.index": "codec indices | reader | writer fingerprint | record_list | cache | __init__",
    "datasets.batching": (
        "plan simd vectors rng | kernel | frames points operations | steps | stages statistics | deferred | segment |"
        " agreement | batch | __init__"
    ),
    "datasets.order": "permutation | resumable | samplers | __init__",
    "datasets.combine": "read agreement | base export | select map cache check | filter mix | * | lazy | __init__",
    "datasets.streaming": "prefetch webdataset headers | arrays | rows | sources | dataset | __init__",
    "datasets.transforms": (
        "base | resample geometry augment noise normalize smooth select loading streams labels formatting | sampling |"
        " * | __init__"
    ),
    "io": (
        "clip layout_config atomic cache_folder lru labels shared_file paced_reader addresses file_list missing yaml_files |"
        " video http | remote | npy | npz readahead hashing annotations | remote_cache | array_layout torch_zip hdf5 |"
        " rows torch_files pack_reader |"
        " array_files file_index | reader | sources | __init__"
    ),
    "pack": "manifest encode | transaction verify card | edit build | write | __init__",
    "webdataset": "samples | index | write | shards | __init__",
    "formats": (
        "base folders safe_pickle persons array_guess array_clips | array_labels | arrays |"
        " parquet annotation asl_app holistic pose_format pyskl spoter webdataset | karsl | kaggle convert * | __init__"
    ),
    "engine": "hooks checkpoint | config | train | __init__",
    "engine.config": "tree | errors loaders model_args folds streams | load | __init__",
    "visualization": (
        "clips draw | video | page animation clip_sheets overview_sheets confusion_figure |"
        " audit_page server live notebook hooks report |"
        " __init__"
    ),
    "visualization.clips": "sources | open select | __init__",
    "visualization.draw": "palette clip | canvas | skeleton captions | __init__",
    "visualization.page": "clip document | stages | encode | page | __init__",
    "profiling": "machine proc results throughput | probe | hook plot | __init__",
    "ray": "session | actors | dataset pack ray_data | __init__",
    "testing": "body records | signs strategies | performance | corpus | __init__",
    "skeletons": "skeleton | mediapipe | layouts | catalog | __init__",
    "audit": (
        "counts hands landmarks finding problems | measures metadata repair | content misfiled copies report | corpus |"
        " __init__"
    ),
    "extract": (
        "base crop detector networks tflite litert_network videos | regions torch_network clip |"
        " journal | run | * | __init__"
    ),
    "models": "backbones data_preprocessor head mixup | recognizer | * | __init__",
    "models.backbones": (
        "inputs attention | frame_embedding | st_transformer conv1d_transformer stgcn bilstm | * | __init__"
    ),
    "inference": "stored_config clips | torch_model video | onnx_model | recognizer | streaming | live | __init__",
    "evaluation": "metrics scores statistics | class_metrics dump fuse report | tables | * | __init__",
}
RANKS = {
    package: {name: rank for rank, group in enumerate(text.split("|")) for name in group.split()}
    for package, text in ORDER.items()
}
# Optional dependencies, which a function imports when it needs them, and modules of the package that need one at their top.
OPTIONAL = {
    *(
        "numba",
        "deflate",
        "PIL",
        "matplotlib",
        "arabic_reshaper",
        "bidi",
        "openpyxl",
        "pyarrow",
        "ray",
        "fsspec",
        "pose_format",
        "av",
        "ai_edge_litert",
        "onnx",
        "onnxruntime",
    ),
    *("imageio_ffmpeg", "h5py", "rerun", "IPython", "cv2", "hypothesis", "pandas", "tensorboard"),
    "karsl.datasets.batching",  # numba
    "karsl.extract.torch_network",  # torch, two seconds per process
    "karsl.visualization.clip_sheets",  # Pillow
}
# torch takes two seconds per process, which readers of archives and packs do not spend; MMEngine is an extra, without which
# files are packed and converted.
DELAYED = {("karsl/io/torch_files.py", "torch"), ("karsl/progress.py", "mmengine.logging")}


def dotted(path: Path, root: Path) -> str:
    """Name of a module below the package; '' for the package itself."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and name below the package of each import of a module of the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "karsl":
                yield node.lineno, module_of(name.removeprefix("karsl").removeprefix("."), root)


def module_of(name: str, root: Path) -> str:
    """The module that a dotted name is, or is defined in."""
    while name and not (root / name.replace(".", "/")).is_dir() and not (root / f"{name.replace('.', '/')}.py").is_file():
        name = name.rpartition(".")[0]
    return name


def rank_of(package: str, name: str) -> int | None:
    ranks = RANKS.get(package, {})
    return ranks.get(name, ranks.get("*"))


def offenders(path: Path, root: Path = ROOT) -> Iterator[str]:
    own = dotted(path, root)
    own_parts = own.split(".") if own else ["__init__"]
    if path.name == "__init__.py" and own:
        own_parts.append("__init__")
    where = path.relative_to(root.parent).as_posix()
    for line, name in imports(path, root):
        parts = name.split(".") if name else ["__init__"]
        if name and (root / name.replace(".", "/")).is_dir():
            parts.append("__init__")
        if parts[-1] == "__init__" and own_parts[: len(parts) - 1] == parts[:-1]:
            yield f"{where}:{line}: {own or 'karsl'} imports its own package"
            continue
        common = 0
        while common < min(len(own_parts), len(parts)) and own_parts[common] == parts[common]:
            common += 1
        package = ".".join(own_parts[:common])
        if package not in RANKS:
            continue
        low, high = rank_of(package, parts[common]), rank_of(package, own_parts[common])
        if low is None or high is None or low >= high:
            yield f"{where}:{line}: {'.'.join(own_parts)} (rank {high}) imports {'.'.join(parts)} (rank {low})"


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Every module with those that it imports, type imports and imports in functions included."""
    return {dotted(path, root): {name for _, name in imports(path, root)} - {""} for path in root.rglob("*.py")}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1 or node in edges.get(node, ()):
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def test_every_module_of_an_ordered_package_has_a_rank():
    missing = []
    for package, ranks in RANKS.items():
        folder = ROOT / package.replace(".", "/")
        names = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}
        others = names - set(ranks) if "*" in ranks else set()
        missing += [f"{package}.{name}" for name in sorted((names - others) ^ (set(ranks) - {"*"}))]
    assert missing == [], "keep ORDER here and the table in CONTRIBUTING.md complete"


def test_modules_import_only_lower_ranks():
    found = [text for path in sorted(ROOT.rglob("*.py")) for text in offenders(path)]
    assert found == [], "\n" + "\n".join(found)


def test_no_modules_import_each_other():
    assert circles(graph()) == []


def test_functions_import_optional_dependencies_only():
    """Commands import what they need when they run, so that `karsl --help` is fast."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] == "cli":
            continue
        where, tree = path.relative_to(ROOT.parent).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for node in ast.walk(function):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                found += [
                    f"{where}:{node.lineno}: {name}"
                    for name in names
                    if not {name, name.partition(".")[0]} & OPTIONAL and (where, name) not in DELAYED
                ]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("word", ["__module__", "__file__", r"sys\.modules"])
def test_behavior_does_not_depend_on_where_code_is(word):
    allowed = {
        ("karsl/datasets/index/fingerprint.py", "__module__"),  # the value of an argument that is a class, as in a pickle
        ("karsl/datasets/combine/lazy.py", "__module__"),  # the same in a config, 'module:name', which is imported again
    }
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        where = path.relative_to(ROOT.parent).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            name = next((getattr(node, key) for key in ("attr", "id") if hasattr(node, key)), "")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value  # getattr(value, "__module__")
            owner = node.value.id if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
            if re.fullmatch(word, name) or re.fullmatch(word, f"{owner}.{name}"):
                found += [f"{where}:{node.lineno}"] * ((where, word) not in allowed)
    assert found == []


@pytest.mark.parametrize(
    ("module", "code", "line", "text"),
    [
        ("io/npy.py", "from karsl.datasets import KArSLDataset", 1, "imports datasets.__init__"),
        ("io/npy.py", "from karsl import datasets", 1, "imports datasets.__init__"),
        ("io/npy.py", "import karsl.datasets.pipeline", 1, "imports datasets.pipeline"),
        ("io/npy.py", "def f():\n    from karsl.models import head", 2, "imports models.head"),
        ("io/npy.py", "if TYPE_CHECKING:\n    from karsl.io.npz import NpzReader", 2, "imports io.npz"),
        ("io/npz.py", "from karsl.io import ClipReader", 1, "imports its own package"),
        ("models/head.py", "from karsl.engine import launch", 1, "imports engine.__init__"),
    ],
)
def test_an_import_of_the_same_or_a_higher_rank_is_found(tmp_path, module, code, line, text):
    root = tmp_path / "karsl"
    for name in ("io/__init__.py", "io/npz.py", "datasets/__init__.py", "datasets/pipeline.py", "models/__init__.py",
                 "models/head.py", "engine/__init__.py"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / module).write_text(code)
    (found,) = offenders(root / module, root)
    assert found.startswith(f"karsl/{module}:{line}: ")
    assert text in found


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("datasets/transforms/new.py", "from karsl.datasets.transforms.sampling import PadTo"),
        ("datasets/new.py", "from karsl.datasets.karsl import KArSLDataset"),
        ("datasets/combine/new.py", "from karsl.datasets.combine.mix import ConcatDataset"),
        ("formats/new.py", "from karsl.formats.parquet import open_parquet"),
        ("evaluation/new.py", "from karsl.evaluation.metrics import rank_of_true_class"),
        ("models/new.py", "from karsl.models.recognizer import KeypointRecognizer"),
        ("models/backbones/new.py", "from karsl.models.backbones.st_transformer import STTransformer"),
    ],
)
def test_a_new_module_may_import_those_of_its_package_but_not_the_package(tmp_path, module, code):
    root = shutil.copytree(ROOT, tmp_path / "karsl", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    path = root / module
    path.write_text(code)
    assert list(offenders(path, root)) == []
    package = module.rpartition("/")[0].replace("/", ".")
    path.write_text(f"from karsl.{package} import anything")
    (found,) = offenders(path, root)
    assert "imports its own package" in found


def test_a_module_that_has_no_rank_of_its_own_is_imported_by_none_of_its_package(tmp_path):
    root = shutil.copytree(ROOT, tmp_path / "karsl", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    (root / "datasets" / "transforms" / "new.py").touch()
    path = root / "datasets" / "transforms" / "select.py"
    path.write_text("from karsl.datasets.transforms.new import anything")
    (found,) = offenders(path, root)
    assert "datasets.transforms.select (rank 1) imports datasets.transforms.new (rank 3)" in found


def test_a_circle_through_a_type_import_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
