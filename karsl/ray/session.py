"""A connection to Ray: a cluster's, or one of this process that starts and stops by itself."""

from __future__ import annotations

import atexit
import os
import socket
from types import ModuleType
from typing import Any

from karsl.errors import ConfigError, first_line, missing_extra

_ANSWER_S = 10.0
_ended_with_us = False


def need_ray() -> ModuleType:
    """The library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise missing_extra("ray", "ray") from None
    return ray


def connect(address: str | None = None, **options: Any) -> ModuleType:
    """Connect to Ray, unless this process is connected.

    Args:
        address: Of a running cluster, `'host:6379'` or `'auto'`; None takes RAY_ADDRESS, and without it starts Ray in
            processes of its own, which end with this one, or with `disconnect()`.
        options: Of `ray.init`.

    Returns:
        The library.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: No cluster answers.
    """
    global _ended_with_us
    ray = need_ray()
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _check_answers(address)
    own = {} if address else {"include_dashboard": False, "num_cpus": os.cpu_count()}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **{**own, **options})
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address!r}" if address else "of this machine"
        raise ConfigError(f"no Ray cluster {where} answers ({first_line(error)}); is 'ray start --head' running?") from error
    if not _ended_with_us:
        _ended_with_us = True
        atexit.register(disconnect)
    return ray


def disconnect() -> None:
    """Leave the cluster; Ray that was started here ends."""
    ray = need_ray()
    if ray.is_initialized():
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray waits for minutes where nothing answers.

    Raises:
        ConfigError: Nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # 'auto' and the like
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise ConfigError(f"no Ray cluster at {address!r} ({error}); is 'ray start --head' running there?") from error
