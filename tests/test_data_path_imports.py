"""The data path imports neither OpenCV nor matplotlib: no libGL, and a quick start in every worker."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["karsl.skeletons", "karsl.io", "karsl.pack", "karsl.webdataset", "karsl.datasets", "karsl.datasets.transforms"],
)
def test_data_path_imports_neither_cv2_nor_matplotlib(module):
    code = f"import sys, {module}; print(sorted({{'cv2', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_import_of_the_data_path_loads_no_optional_dependency():
    packages = "karsl.datasets, karsl.datasets.transforms, karsl.datasets.combine, karsl.formats"
    optional = "{'numba', 'PIL', 'cv2', 'matplotlib', 'pyarrow', 'pose_format', 'h5py', 'ray', 'rerun', 'pandas'}"
    code = f"import sys, {packages}; print(sorted({optional} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_import_of_formats_loads_neither_mmengine_nor_torch():
    code = "import sys, karsl.formats; print(sorted({'mmengine', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
