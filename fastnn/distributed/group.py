"""The workers that train a network together: their shards, what they hold, and what is done when one is lost."""

import copy
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from fastnn.distributed import on_workers
from fastnn.distributed.on_workers import LostError, Share, Taken, Wanted
from fastnn.distributed.shards import Recipe, Shards
from fastnn.distributed.sums import ranges
from fastnn.network.network import Network

MOST_REPEATS = 10  # of the same steps, each after a worker was lost
SECONDS_FOR_A_WORKER, SECONDS_BETWEEN_LOOKS = 60.0, 2.0
OF_FILES = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)  # errors of no connection

T = TypeVar("T")


class Group:
    """The workers of a cluster, in an order that a loss or an arrival changes as little as possible.

    Each holds a `Member`, and the pieces of its shards, as results of tasks: they go when this object does.
    """

    def __init__(self, client: Any, network: Network) -> None:
        self.client, self.network = client, network
        self.source: Shards | None = None
        self.has_labels: bool | None = None  # whether the first piece has, as soon as it is known
        self.threads: dict[str, int] = {}  # of each worker
        self.members: dict[str, Any] = {}
        self.pieces: dict[int, tuple[str, Any]] = {}
        self.network_there: Any = None

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *error: Any) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew after a worker was lost: the workers let go of all that they hold."""
        for future in (self.network_there, *self.members.values(), *(piece for _, piece in self.pieces.values())):
            if future is not None:  # the frames of an error may hold it, too
                future.release()
        self.members, self.pieces, self.network_there = {}, {}, None

    # --- what workers hold ---

    def meet(self) -> list[str]:
        """The workers that are there; a new one takes the place of one that is gone."""
        running = self.running()
        there = {one: n for one, n in self.client.nthreads().items() if one in running or one in self.threads}
        if not there:
            raise LostError(f"no worker is running{self.others(running)}")
        if not self.threads.keys() <= there.keys():
            self.forget()
        new = iter([address for address in there if address not in self.threads])
        kept = [address if address in there else next(new, None) for address in self.threads]
        self.threads = {address: there[address] for address in [*kept, *new] if address is not None}
        if self.network_there is None:
            self.network_there = self.client.scatter(copy.deepcopy(self.network), hash=False)
        for address in self.threads:
            if address not in self.members:
                self.members[address] = self._task(on_workers.join, self.network_there, worker=address)
        return list(self.threads)

    def running(self) -> dict[str, int]:
        """The threads of each worker that takes tasks: a worker without memory is paused."""
        found: dict[str, int] = self.client.sync(self.client.scheduler.ncores_running)
        return found

    def others(self, running: Mapping[str, int]) -> str:
        """The workers that take no tasks, for an error."""
        workers = self.client.scheduler_info()["workers"]
        return "".join(f"; {one} is {its['status']}" for one, its in workers.items() if one not in running)

    def hold(self, number: int, recipe: Recipe, worker: str) -> Any:
        """The piece on a worker, which takes it over from the one that has it."""
        owner, piece = self.pieces.get(number, (worker, None))
        wanted = Wanted(recipe.name, recipe.rows, self.has_labels)
        if piece is not None and owner != worker:
            piece = self._task(on_workers.owned, piece, worker=worker)
        elif piece is None and recipe.kind == "arrays":
            piece = self._task(on_workers.owned, self._sent(recipe.given, worker), worker=worker)
        elif piece is None and recipe.kind == "file":
            piece = self._task(on_workers.piece_of_file, self.network_there, wanted, *recipe.given, worker=worker)
        elif piece is None:
            parts = [self.client.compute(one) if hasattr(one, "dask") else one for one in recipe.given]
            piece = self._task(on_workers.prepared, self.network_there, *parts, wanted, worker=worker)
        self.pieces[number] = worker, piece
        return piece

    def _sent(self, value: Any, worker: str) -> Any:
        try:  # in a list, as each element of a tuple would be sent alone
            return self.client.scatter([value], hash=False, workers=[worker])[0]
        except KeyError as error:  # as the scheduler answers
            raise LostError(f"worker {worker} was lost") from error

    def _task(self, function: Any, *arguments: Any, worker: str) -> Any:
        return self.client.submit(function, *arguments, pure=False, workers=[worker])

    # --- what they compute ---

    def rows_of_files(self, names: list[str]) -> list[int]:
        """The number of samples in each file."""
        found: list[int] = self.waited_for(self.client.map(on_workers.rows_of_file, names, pure=False))
        return found

    def are_classes(self) -> bool:
        """Whether the targets are classes, by the first piece."""
        worker, source = self.meet()[0], self._source
        piece = self.hold(0, source.recipes[0], worker)
        kinds = self.waited_for([self._task(on_workers.kinds_of, self.network_there, piece, worker=worker)])[0]
        are_classes, self.has_labels = kinds
        return bool(are_classes)

    def steps(self, first: int, last: int, snapshot: Any, optimizer: Any) -> Taken:
        """Take these steps of an epoch from this state of the network on."""
        workers, source = self.meet(), self._source
        parts = ranges(len(source.of_shard), list(self.threads.values()))
        owners = [(worker, part) for worker, part in zip(workers, parts, strict=False) if part]
        shards = range(len(source.of_shard))
        found = [[source.rows_of(shard, batch) for batch in range(first, last)] for shard in shards]
        needed = {
            piece: worker for worker, part in owners for shard in part for some in found[shard] for piece, _ in some
        }
        if len(source.recipes) > len(source.of_shard):  # else each shard keeps its only piece
            self.pieces = {number: piece for number, piece in self.pieces.items() if number in needed}
        held = {piece: self.hold(piece, source.recipes[piece], worker) for piece, worker in needed.items()}
        self.wait_for([*held.values(), *(self.members[worker] for worker, _ in owners)])
        shares = []
        for worker, part in owners:
            batches = [
                {shard: [(held[piece].key, rows) for piece, rows in found[shard][i]] for shard in part}
                for i in range(last - first)
            ]
            shares.append(Share(worker, self.members[worker].key, batches))
        root = owners[0][0]
        taken: Taken | LostError = self.client.run(
            on_workers.take_steps, shares, snapshot, optimizer, workers=[root], on_error="raise"
        )[root]
        if isinstance(taken, LostError):
            raise taken
        return taken

    @property
    def _source(self) -> Shards:
        assert self.source is not None
        return self.source

    def wait_for(self, futures: Sequence[Any]) -> None:
        """Wait for tasks, but for none on a worker that is gone: they would wait for its return; raise their errors.

        An error's traceback holds the frames, and with them the tasks: the workers are told to forget before.
        """
        try:
            self._wait_for(futures)
        except Exception as error:
            for future in futures:  # frames that are still running hold them, too
                future.release()
            traceback.clear_frames(error.__traceback__)
            self.forget()
            raise

    def _wait_for(self, futures: Sequence[Any]) -> None:
        """See wait_for."""
        from distributed import wait

        waiting: Any = wait
        began, left = time.monotonic(), len(futures)
        while True:
            try:
                done = waiting(futures, timeout=SECONDS_BETWEEN_LOOKS).done
                break
            except TimeoutError:
                if not self.threads.keys() <= self.client.nthreads().keys():
                    raise LostError("a worker was lost") from None
                running, before = self.running(), left
                left = sum(not future.done() for future in futures)
                if left < before or (running and self.threads.keys() <= running.keys()):
                    began = time.monotonic()
                elif time.monotonic() - began > SECONDS_FOR_A_WORKER:
                    self.threads = {one: n for one, n in self.threads.items() if one in running}
                    raise LostError(f"workers take no tasks{self.others(running)}") from None
        for future in done:
            if future.status != "finished":
                future.result()

    def waited_for(self, futures: Sequence[Any]) -> Any:
        """The results of tasks."""
        self.wait_for(futures)
        return self.client.gather(futures)

    def retried(self, compute: Callable[[], T]) -> T:
        """A result of the cluster, computed again when a worker was lost."""
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        lost: BaseException | None = None
        for number in range(MOST_REPEATS):
            try:
                if lost is not None:
                    time.sleep(0.1 * number)  # until the scheduler knows of the loss
                    try:
                        self.client.wait_for_workers(1, timeout=SECONDS_FOR_A_WORKER)
                    except TimeoutError:  # the loss says more
                        break
                    self.forget()
                return compute()
            except OF_FILES:
                raise
            except (CancelledError, KilledWorker, CommClosedError, OSError) as error:  # OSError: also TimeoutError
                lost = error
                if isinstance(error, TimeoutError):
                    break
            except Exception as error:  # Dask hands one on as a text if a worker cannot read the network
                reason = re.search(r"pickle: expected your own .*main script", str(error))
                if reason is None:
                    raise
                raise ValueError(reason[0].replace("\\", "")) from None
        remedy = "look at the workers' logs; their memory may not suffice"
        raise RuntimeError(
            f"client: expected workers that compute a step, lost them again and again ({lost!r}); {remedy}"
        ) from lost
