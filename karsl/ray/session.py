"""Connection to a Ray cluster, or to a local Ray that stops with this process."""

from __future__ import annotations

import atexit
import os
import socket
import warnings
from types import ModuleType
from typing import Any

from karsl.errors import ConfigError, first_line, missing_extra

WARN_AFTER_S = 30.0
_CONNECT_TIMEOUT_S = 10.0
_registered = False


def require_ray() -> ModuleType:
    """Import Ray.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise missing_extra("ray", "ray") from None
    return ray


def connect(address: str | None = None, **options: Any) -> ModuleType:
    """Connect to Ray, unless this process is connected already.

    Args:
        address: Address of a running cluster, `'host:6379'` or `'auto'`. None uses the environment variable RAY_ADDRESS or,
            if that is not set, starts a local Ray that stops with this process or with `disconnect()`.
        options: Arguments of `ray.init`.

    Returns:
        The module `ray`.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If no cluster responds.
    """
    global _registered
    ray = require_ray()
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _check_reachable(address)
    defaults = {} if address else {"include_dashboard": False, "num_cpus": os.cpu_count()}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **{**defaults, **options})
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address!r}" if address else "on this machine"
        raise ConfigError(
            f"no Ray cluster {where} responds ({first_line(error)}); is 'ray start --head' running?"
        ) from error
    if not _registered:
        _registered = True
        atexit.register(disconnect)
    return ray


def disconnect() -> None:
    """Disconnect from the cluster; a local Ray stops."""
    ray = require_ray()
    if ray.is_initialized():
        ray.shutdown()


def wait_any(references: list[Any], *, num_cpus: float) -> Any:
    """Return the first of several Ray references to finish, however long it takes.

    Warns after `WARN_AFTER_S` seconds, because Ray queues silently what does not fit: two nodes with half a free CPU each
    never run a task that needs one.

    Args:
        references: At least one Ray reference.
        num_cpus: CPUs that each task reserves on one node.
    """
    ray = require_ray()
    warned = False
    while True:
        done, _ = ray.wait(references, num_returns=1, timeout=None if warned else WARN_AFTER_S)
        if done:
            return done[0]
        warned = True
        free, total = ray.available_resources().get("CPU", 0.0), ray.cluster_resources().get("CPU", 0.0)
        warnings.warn(
            f"no result from Ray for {WARN_AFTER_S:.0f} s: {free:g} of {total:g} CPUs are free over all nodes, and "
            f"{num_cpus:g} on one node are requested; free CPUs on the cluster or request fewer",
            stacklevel=2,
        )


def _check_reachable(address: str) -> None:
    """Raise early: Ray waits for minutes if nothing responds.

    Raises:
        ConfigError: If nothing responds.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # 'auto' and the like
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(f"no Ray cluster at {address!r} ({error}); is 'ray start --head' running there?") from error
