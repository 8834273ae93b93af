"""Lists of parts that run beside each other, a thread for each list, and what they wait for."""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from .outcome import Outcome
from .runner import Ended, running


class Lanes:
    """Each lane does its tasks one after another. What only the caller can make, it gives by a name; tasks wait for it."""

    def __init__(self, lanes: list[list[Callable[["Lanes"], Outcome]]]):
        self.lanes = lanes
        self._changed = threading.Condition()
        self._given: dict[str, object] = {}
        self._is_over = False
        self._futures: list[Future[list[Outcome]]] = []

    def give(self, name: str, value: object = None) -> None:
        with self._changed:
            self._given[name] = value
            self._changed.notify_all()

    def wait_for(self, name: str):
        """What was given by this name."""
        with self._changed:
            self._changed.wait_for(lambda: name in self._given or self._is_over)
            if name not in self._given:
                raise Ended
            return self._given[name]

    def begin(self, pool: ThreadPoolExecutor) -> None:
        self._futures = [pool.submit(self._run, lane) for lane in self.lanes]

    def outcome(self) -> Outcome:
        """That of all, as soon as all is done. What goes wrong in one lane is thrown at once, however long the others still take."""
        for future in concurrent.futures.wait(self._futures, return_when=concurrent.futures.FIRST_EXCEPTION).done:
            future.result()
        return sum((outcome for future in self._futures for outcome in future.result()), Outcome())

    def end(self) -> None:
        """What runs is ended, and nothing else begins."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        running.end_all()

    def _run(self, lane: list[Callable[["Lanes"], Outcome]]) -> list[Outcome]:
        outcomes = []
        with contextlib.suppress(Ended):
            for task in lane:
                if self._is_over:
                    break
                outcomes.append(task(self))
        return outcomes


@contextlib.contextmanager
def side_by_side(lanes: list[list[Callable[[Lanes], Outcome]]]) -> Iterator[Lanes]:
    """Runs them while the block does its own part of the work; a failure of the block, or a Ctrl-C, ends them all."""
    tasks = Lanes(lanes)
    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        try:
            tasks.begin(pool)
            yield tasks
        except BaseException:
            tasks.end()
            raise
