"""Waiting for a cluster that may have no room."""

from __future__ import annotations

import warnings
from typing import Any

from karsl.remote.session import need_ray

SILENCE_S = 30.0


def first_of(references: list[Any], *, num_cpus: float) -> Any:
    """The first of some Ray references to be done, however long that takes; a warning when the cluster may have no room.

    Ray queues what does not fit, without a word: two nodes that each have half a CPU free never run a task of one.

    Args:
        references: At least one.
        num_cpus: That each reserves on one node.
    """
    ray = need_ray()
    warned = False
    while True:
        done, _ = ray.wait(references, num_returns=1, timeout=None if warned else SILENCE_S)
        if done:
            return done[0]
        warned = True
        free, all_ = ray.available_resources().get("CPU", 0.0), ray.cluster_resources().get("CPU", 0.0)
        warnings.warn(
            f"nothing came from Ray for {SILENCE_S:.0f} s: {free:g} of {all_:g} CPUs are free over all nodes, and "
            f"{num_cpus:g} on one node are asked for; if that is never free, end other work there or ask for less",
            stacklevel=2,
        )
