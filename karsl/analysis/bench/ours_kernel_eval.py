"""The compiled pass alone in evaluation: frames at segment centres, nothing moved."""

from karsl.analysis.bench.ours_eager import PIPELINE
from karsl.analysis.bench.ours_kernel import OursKernel

WAY = OursKernel("karsl-kernel-eval", [PIPELINE[0], {**PIPELINE[1], "jitter": 0.0}, PIPELINE[-1]])
