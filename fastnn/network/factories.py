"""Networks made by a user's function, and several of them trained side by side.

Compiled calls release Python's lock, so the networks are trained on Python threads, which share the data, or by a
joblib.Parallel of the user's, in processes and on other machines. Neither changes results: the caller spawns a
generator for each network, in order, and gets the results in that order.
"""

import inspect
import operator
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from fastnn import operations
from fastnn.engine.threads import get_num_threads
from fastnn.gate import arrays, checks
from fastnn.gate.slips import remedy
from fastnn.network.history import History
from fastnn.network.network import Network

NetworkFactory: TypeAlias = Callable[[np.random.Generator], Network]
Result = TypeVar("Result")

EXAMPLE = "pass one such as lambda rng: fastnn.Network([...], rng=rng)"
# Arguments of Network.fit that the trainer chooses, as it chooses the samples.
NOT_OPTIONS = {"self", "x", "t", "rng", "progress", "sample_weight", "resume"}

REMEDIES = {
    "sample_weight": ", which belongs to samples that are not all trained on here",
    "resume": ", which is for one network alone",
    "rng": ", which is an argument of its own or of the constructor",
}


class Factory:
    """Makes networks by a user's function; refuses anything but a new network like the earlier ones.

    is_standardized: whether they get standardized inputs, which a network must not scale again. name, example: of the
    argument, for errors.
    """

    def __init__(
        self, function: Any, is_standardized: bool = False, name: str = "network_factory", example: str = EXAMPLE
    ) -> None:
        self.name, self.example = name, example
        if not checks.can_be_called(function, 1):
            expected = f"{self.name}: expected a function that takes a numpy Generator and returns a new network"
            came = "a function that takes no argument" if checks.can_be_called(function, 0) else checks.headed(function)
            raise TypeError(f"{expected}, got {came}; {self.example}")
        self.function, self.is_standardized = function, is_standardized
        self.made: weakref.WeakSet[Network] = weakref.WeakSet()
        self.kind: tuple[Any, ...] | None = None

    def __call__(self, generator: np.random.Generator) -> Network:
        """A new network whose weights this generator draws."""
        network = self.function(generator)
        if not isinstance(network, Network):
            expected = f"{self.name}: expected a function that returns a network"
            raise TypeError(f"{expected}, got {checks.shown(network)}; {self.example}")
        if network in self.made or network.history is not None or network.engine.state_owner is not None:
            came = "the same one again" if network in self.made else "one that was trained before"
            reason = "it may have learned from samples that it must not see"
            raise ValueError(f"{self.name}: expected a new network at each call, got {came}; {reason}: {self.example}")
        if self.is_standardized and not network.engine.input_scale.is_one:
            came = f"{network.input_scale}, which would scale standardized columns again"
            remedy = "leave out either standardize or input_scale"
            raise ValueError(f"{self.name}: expected networks with the input_scale 1.0, got {came}; {remedy}")
        shapes = network.input_shape, network.output_shape
        kind = (
            *(shape[0] if len(shape) == 1 else shape for shape in shapes),
            str(network.engine.loss),
            str(network.regularization),
            str(network.dtype),
            network.input_scale,
        )
        if self.kind not in (None, kind):
            same = "the same inputs, outputs, loss, regularization, dtype and input_scale"
            expected = f"{self.name}: expected networks of {same}, {self.kind}"
            raise ValueError(f"{expected}, got {kind}; let only their hidden layers differ")
        self.made.add(network)
        self.kind = kind
        return network


def check_fit_options(callee: Callable[..., Any], options: dict[str, Any], *refused: str) -> dict[str, Any]:
    """`options` itself; refused unless all are arguments of `Network.fit`, other than NOT_OPTIONS and `refused`."""
    known = [name for name in inspect.signature(Network.fit).parameters if name not in NOT_OPTIONS.union(refused)]
    for name in options:
        if name not in known:
            expected = f"{callee.__name__}: expected options of Network.fit ({', '.join(known)}), got {name!r}"
            near = remedy(name, [*inspect.signature(callee).parameters, *known])
            raise TypeError(expected + REMEDIES.get(name, f"; {near}"))
    callbacks = options.get("callbacks", ())
    for callback in callbacks if isinstance(callbacks, list | tuple) else ():
        if getattr(callback, "for_one_network", False):
            came = f"a {type(callback).__name__}, whose file all would write; train one network by fit"
            raise ValueError(f"callbacks: expected callbacks that several networks can share, got {came}")
    return options


class Task(NamedTuple):
    """A network to train: its generator, samples, targets, and further data of the caller's."""

    generator: np.random.Generator
    x: Any
    t: Any
    rest: Any


def count_workers(n_jobs: int | None, tasks: int) -> int:
    """How many Python threads train this many networks: by default as many as kernels would use."""
    return max(1, min(get_num_threads() if n_jobs is None else arrays.integer("n_jobs", n_jobs, minimum=1), tasks))


def check_parallel(parallel: Any, n_jobs: int | None) -> Any:
    """A joblib.Parallel, or None."""
    if parallel is not None and not (callable(parallel) and hasattr(parallel, "n_jobs")):
        came = f"{checks.shown(parallel)}; pass joblib.Parallel(n_jobs=4)"
        raise TypeError(f"parallel: expected a joblib.Parallel, got {came}")
    if parallel is not None and n_jobs is not None:
        raise ValueError(f"n_jobs: expected None beside parallel, got {n_jobs}; pass joblib.Parallel(n_jobs={n_jobs})")
    return parallel


def in_order(parallel: Any, runs: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The results, each of which begins with its number, that a joblib.Parallel may return as they end.

    An error about an operation of the user's, which a worker process does not know, is raised as such. It is raised
    here for workers of Dask or Ray, which would try to read such a task for ever.
    """
    if not type(getattr(parallel, "_backend", None)).__module__.startswith("joblib._parallel_backends"):
        runs = map(_without_operations_of_main, runs)
    try:
        return sorted(parallel(runs), key=operator.itemgetter(0))
    except RuntimeError as error:  # BrokenProcessPool is one; its cause has the traceback as a text
        reason = re.search(r"^ValueError: (pickle: expected your own .*)$", str(error.__cause__), re.MULTILINE)
        if reason is None:
            raise
        raise ValueError(reason[1]) from error


def _without_operations_of_main(run: Any) -> Any:
    """A function and its arguments, refused where a network or an option is of an operation of the main script."""
    _, given, _ = run
    found = [one for part in given for one in (part.values() if isinstance(part, dict) else [part])]
    networks = [one for one in found if isinstance(one, Network)]
    for one in [*found, *(part for network in networks for part in (*network.engine.layers, network.engine.loss))]:
        if type(one) in operations.MADE and type(one).__module__ == "__main__":
            role, _, key = operations.MADE[type(one)]
            came = f"the {role} {key!r} of the main script, which they lack; define it in a module"
            raise ValueError(f"parallel: expected operations of modules that workers can import, got {came}")
    return run


def _train(
    network: Network, task: Task, finish: Callable[[Network, History, Task], Result], options: dict[str, Any]
) -> Result:
    """Train a network and finish it."""
    history = network.fit(task.x, task.t, rng=task.generator, progress=False, **options)
    return finish(network, history, task)


def _train_one(number: int, *arguments: Any) -> tuple[int, Any]:
    """As _train, with the task's number."""
    return number, _train(*arguments)


def train_several(
    new_network: Callable[[np.random.Generator], Network],
    tasks: Iterable[Task],
    finish: Callable[[Network, History, Task], Result],
    options: dict[str, Any],
    workers: int,
    parallel: Any = None,
) -> list[Result]:
    """The results of finish(network, history, task) for each task's trained network, in order.

    Tasks and networks are made in the calling thread, in order and as late as possible: there are never more than
    `workers` of them. Meanwhile each network uses its share of the kernels' threads. After an error or Ctrl-C, networks
    in training stop at the end of their epoch. A joblib.Parallel takes them in order, too, in a thread of its own, and
    trains copies.
    """
    if parallel is not None:
        numbered = enumerate(tasks)
        # As joblib.delayed makes them: a function and its arguments.
        runs: Any = ((_train_one, (i, new_network(one.generator), one, finish, options), {}) for i, one in numbered)
        return [result for _, result in in_order(parallel, runs)]
    stop = threading.Event()
    callbacks = options.get("callbacks", ())
    if isinstance(callbacks, list | tuple):  # else `fit` says what is wrong
        options = {**options, "callbacks": [*callbacks, lambda network, history: stop.is_set()]}
    share = max(1, get_num_threads() // workers)

    def run(network: Network, task: Task) -> Result:
        chosen = network.n_threads
        network.n_threads = share if chosen is None else min(share, chosen)
        try:
            return _train(network, task, finish, options)
        finally:
            network.n_threads = chosen

    if workers == 1:
        return [run(new_network(task.generator), task) for task in tasks]
    pool = ThreadPoolExecutor(workers)
    futures: list[Future[Result]] = []
    running: set[Future[Result]] = set()
    try:
        for task in tasks:
            if len(running) == workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()  # raises what the training raised
            futures.append(pool.submit(run, new_network(task.generator), task))
            running.add(futures[-1])
        return [future.result() for future in futures]
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
