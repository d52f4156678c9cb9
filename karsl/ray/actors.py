"""Calls to actors that may die: in flight up to a number of bytes, given again to another when lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from karsl.errors import RemoteError
from karsl.remote.actor import DatasetActor, Draws
from karsl.remote.session import need_ray
from karsl.remote.waiting import first_of

Request = tuple[tuple[int, ...], Draws]
_PATIENCE_S = 300.0  # without any answer, before a request is given up
_AVOIDED_S = 10.0  # after an actor was lost; the others first
_PAUSE_S = 0.2  # while all are lost


class Calls:
    """Requests for batches to a few actors; Ray starts a dead actor anew, on another node if its own is gone.

    Batches are pure functions of places, epoch and seed, so a request whose answer is lost is simply made again.

    Args:
        dataset: Config or dataset, sent to the cluster once.
        num_actors: At least 1.
        num_cpus: That Ray reserves for each.
        max_bytes: Of answers that are made but not yet taken, and those being made.
    """

    def __init__(self, dataset: Any, num_actors: int, *, num_cpus: float, max_bytes: int) -> None:
        ray = need_ray()
        self._ray, self._num_cpus, self.max_bytes = ray, num_cpus, max_bytes
        kind = ray.remote(num_cpus=num_cpus, max_restarts=-1, max_task_retries=0)(DatasetActor)
        self.actors = [kind.remote(dataset) for _ in range(num_actors)]
        self._flying: dict[Request, tuple[Any, int]] = {}
        self._busy: Counter[int] = Counter()
        self._lost_s: dict[int, float] = {}
        self._batch_bytes = 0

    @property
    def in_flight(self) -> int:
        """Requests whose answers are not taken yet."""
        return len(self._flying)

    @property
    def room(self) -> int:
        """How many more requests may be made ahead: until the first answer tells its size, one for each actor."""
        most = self.max_bytes // self._batch_bytes if self._batch_bytes else len(self.actors)
        return max(1, most) - len(self._flying)

    def start(self, request: Request) -> None:
        """Ask the actor with the least to do, unless this was asked already."""
        if request in self._flying:
            return
        number = min(range(len(self.actors)), key=lambda n: (self._is_lost(n), self._busy[n], n))
        self._busy[number] += 1
        self._flying[request] = (self.actors[number].batch.remote(*request), number)

    def take(self, request: Request) -> tuple[dict | None, Any]:
        """The answer, however often actors die on the way.

        Raises:
            RemoteError: It was lost too often.
            Exception: What the dataset raised.
        """
        lost: Exception | None = None
        since = time.monotonic()
        while time.monotonic() - since < _PATIENCE_S:
            if lost is not None and all(map(self._is_lost, range(len(self.actors)))):
                time.sleep(_PAUSE_S)
            self.start(request)
            reference, number = self._flying[request]
            try:
                answer = self._get(reference)
            except self._ray.exceptions.RayTaskError as error:
                self._forget(request, number)
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                lost = error
                self._forget(request, number)
                self._lost_s[number] = time.monotonic()
                continue
            self._forget(request, number)
            self._lost_s.pop(number, None)
            self._batch_bytes = max(self._batch_bytes, _nbytes(answer[0]))
            return answer
        text = str(lost).splitlines()[0] if lost else ""
        raise RemoteError(f"no actor gave a batch in {_PATIENCE_S:.0f} s ({text}); look at 'ray status'") from lost

    def ask(self, method: str, *arguments: Any) -> Any:
        """A method of the actor, or of its dataset by `ask`.

        Raises:
            Exception: What it raised, also while it built the dataset.
        """
        errors = self._ray.exceptions
        since, number = time.monotonic(), -1
        while time.monotonic() - since < _PATIENCE_S:
            number = (number + 1) % len(self.actors)
            try:
                return self._get(getattr(self.actors[number], method).remote(*arguments))
            except errors.RayTaskError as error:
                raise error.cause from None
            except errors.RayError:
                time.sleep(_PAUSE_S)
        raise RemoteError(f"no actor answered in {_PATIENCE_S:.0f} s; look at 'ray status'")

    def drop(self, keep: Sequence[Request] = ()) -> None:
        """Forget requests whose answers nobody will take."""
        for request in [r for r in self._flying if r not in keep]:
            self._forget(request, self._flying[request][1])

    def end(self) -> None:
        """End the actors."""
        self._flying.clear()
        for actor in self.actors:
            self._ray.kill(actor)
        self.actors = []

    def _get(self, reference: Any) -> Any:
        return self._ray.get(first_of([reference], num_cpus=self._num_cpus))

    def _is_lost(self, number: int) -> bool:
        return time.monotonic() - self._lost_s.get(number, -_AVOIDED_S) < _AVOIDED_S

    def _forget(self, request: Request, number: int) -> None:
        self._flying.pop(request, None)
        self._busy[number] -= 1


def _nbytes(batch: dict | None) -> int:
    return sum(getattr(value, "nbytes", 0) for value in (batch or {}).values())
