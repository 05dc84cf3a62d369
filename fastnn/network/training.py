"""The fit loop: it hands mini-batches to kernels and keeps the record, and does no arithmetic itself."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.names import GradientKind
from fastnn.network import callbacks as calls
from fastnn.network import requests
from fastnn.network.callbacks import Callback
from fastnn.network.checkpoint import Checkpoint
from fastnn.network.history import History
from fastnn.network.requests import Request, Schedule
from fastnn.network.run import Run
from fastnn.optimizers import Optimizer, check_optimizer

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.network.saving import Found, Saver


# Nineteen parameters: all but the data are options with defaults.
def fit(
    self: "Network",
    x: Any,
    t: Any = None,
    *,
    epochs: int = 10,
    batch_size: int | None = 100,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    validation_data: tuple[Any, Any] | None = None,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    check_finite: bool = True,
    gradient: GradientKind = "analytic",
    sample_weight: Any = None,
    class_weight: Any = None,
    metrics: Sequence[str | Callable[[Any, Any], float]] = (),
    initial_epoch: int = 0,
    resume: str | os.PathLike[str] | None = None,
) -> History:
    """Train on mini-batches.

    Parameters
    ----------
    x : array or sparse matrix (N, D), or iterable of batches
        Arrays of the network's dtype and of uint8 are read where they are, others in a converted copy, and so are
        floats if there is an `input_scale`. Rows of uint8 are converted, and multiplied by `input_scale`, when a batch
        takes them. A `numpy.memmap` may have any dtype: only the rows of a few batches are in memory at a time.

        If x is mostly zeros, an index of the other elements is made once. It takes at most 2/3 of the memory of x in
        floats, and 8 bytes a row. With callbacks of your own, which may write into x, it is made anew for each epoch.
        A sparse matrix becomes such an index, a copy of 8 bytes for each stored element in float32, 16 in float64, and
        8 a row; only if the first layer is no Affine, the rows of a batch are made dense.

        Without t, x gives the batches, pairs (x, t), in its own order: a list, a `torch.utils.data.DataLoader`, a
        generator for a single epoch, or a function that returns the batches of an epoch anew. `batch_size` and
        `shuffle` do not change them.
    t : array (N,) or (N, K)
        Targets as the network's loss takes them.
    epochs : int
        Passes over the data.
    batch_size : int or None
        Samples for one update; None for all of them. The last batch of an epoch may be smaller; with BatchNorm, a last
        batch of a single row is left out, and out of the figures, too. An iterable has its own batches.
    optimizer : Optimizer, optional
        By default training goes on with the optimizer of the network's last update and its state, also after
        `fastnn.load`; a network that was never trained takes SGD(lr=0.1). A given optimizer of the same kind goes on
        with the state, another kind begins anew.
    schedule : callable, optional
        One of `fastnn.schedules`, or a function. Called as schedule(epoch, history) before each epoch, counted from 0;
        the epoch's learning rate is the result, at least 0, times the optimizer's. The next fit without a schedule has
        the optimizer's own rate again.
    validation_data : (x, t), optional
        Data on which loss and accuracy are measured after each epoch.
    shuffle : bool
        Take the samples in a new random order in each epoch.
    rng : int or numpy Generator, optional
        For the order, which each epoch draws anew: `rng.permutation(N)`. With the same number, the same network and
        the same data, training gives the same bits. With one Generator, two fits of 3 epochs give the same bits as one
        of 6.
    progress : bool
        Show a progress bar in a terminal, or in a notebook (with the extra `notebook`).
    callbacks : sequence of callables
        Each is called as callback(network, history) after every epoch, and returns True to end the training, else
        False or None. It may have further methods. begin(network, figures) is called before anything is changed,
        with the names of the figures that the history will hold, and refuses by raising an error. end(network, history)
        is called when the training has ended, even by an error or Ctrl-C, or when a later callback has refused.
        after_batch(network, figures) is called after each batch, with its `epoch`, `batch`, `loss` and other figures,
        and ends the training by True; a callback with this method need not be called by epoch.
        state(network) returns, for checkpoints, what decides its later results: a dictionary of texts, numbers, lists,
        dictionaries, None and arrays. restore(network, state) takes it back. A schedule may have these two methods,
        too. `fastnn.EarlyStopping` is such a callback. `fastnn.Checkpoint` writes the state of the training after all
        other callbacks were called.
    check_finite : bool
        Refuse NaN and infinity in the data.
    gradient : str
        "analytic" is back-propagation; "numerical" takes central differences with h = 1e-4, see
        `Network.numerical_gradient`.
    sample_weight : array (N,), optional
        The factors of the samples' losses, divided by their mean; at least 0. A sample of weight 0 counts for nothing,
        whatever its loss, except in the statistics of BatchNorm.
    class_weight : array (K,), optional
        Each sample's weight is multiplied by its class's; K = 2 if one output stands for two classes, the second for
        targets of 1. The accuracy and the figures on validation data are not weighted.
    metrics : sequence of str or functions
        Further figures of each epoch: "r2_score", "mean_absolute_error", "root_mean_squared_error",
        "balanced_accuracy", "roc_auc", "top_5_accuracy" or with another number, or functions of (targets, outputs) that
        return a number. They are measured on validation_data, as validation_<name> in the history; without any, on the
        training data after the epoch, which takes a further pass, as <name>. Targets are labels (N,) or values (N, K).
        Each is also called once before the training.
    initial_epoch : int
        Epochs that are counted as done, at most `epochs`: the training ends after epoch `epochs` all the same, and the
        schedule is called with later epochs. The history holds the epochs of this fit alone.
    resume : str or os.PathLike, optional
        The file of a `fastnn.Checkpoint` from which the training goes on, to the bits of one that was not interrupted.
        Where there is no such file yet, the training begins afresh, so that one command serves before and after a
        kill. If the name holds {epoch}, the newest such file is taken. Everything in the network and in `rng` is put
        back. All other arguments, the data included, must be the ones of the run, except that `epochs` may grow and
        n_threads may differ; `optimizer` may be left out. An iterable must give the batches of the run again. If the
        run has reached `epochs`, nothing is trained: the network and the history are those of the file.

    Returns
    -------
    History
        It is also kept as `network.history`, up to the last completed epoch if fit was interrupted or failed.

    Raises
    ------
    TrainingDivergedError
        When the loss or a parameter is no longer finite. It names the epoch, the batch, the layer, and what to try. The
        network keeps its last finite parameters.
    ValueError
        Also for another argument than that of the run that `resume` names, whose name it says.
    ModelFileError
        For a file of `resume` that Checkpoint did not write, or that is damaged.
    OSError
        If a checkpoint cannot be written. The last one stays as it is.

    Examples
    --------
    >>> (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
    >>> net = fastnn.Network([fastnn.Affine(64, 50), fastnn.Relu(), fastnn.Affine(50, 10)], rng=0)
    >>> history = net.fit(x, t, epochs=10, optimizer=fastnn.Adam(lr=0.01), validation_data=(x_test, t_test), rng=0)
    >>> history.epochs, history.validation_accuracy[-1] > 0.9
    (10, True)

    A function may give the batches of each epoch; a callback is called after it:

    >>> def batches():
    ...     for _ in range(10):
    ...         yield x[:100], t[:100]
    >>> def show(network, history):
    ...     print(history.epochs, history.loss[-1] < 0.5)
    >>> history = net.fit(batches, epochs=2, callbacks=[show])
    1 True
    2 True
    """
    epochs = arrays.integer("epochs", epochs, minimum=0)
    found = find_checkpoint(resume)
    known = None if found is None else found.snapshot.optimizer
    optimizer = (known or requests.last_optimizer(self)) if optimizer is None else check_optimizer(optimizer)
    schedule = None if schedule is None else requests.check_schedule("schedule", schedule)
    generator = arrays.generator("rng", rng)
    requests.refuse_frozen(self)
    given = x, t, batch_size, shuffle, check_finite, sample_weight, class_weight
    source = requests.source_of(self, *given)
    validation = requests.prepared_validation(self, validation_data, check_finite)
    calls.check(callbacks)
    measured = requests.metrics_in(self, metrics, source, validation)
    if not self.engine.is_finite():
        raise ValueError("params: expected finite parameters, got NaN or infinity; call network.initialize() first")
    request = Request(
        epochs=epochs,
        optimizer=optimizer,
        schedule=schedule,
        source=source,
        validation=validation,
        shuffle=arrays.flag("shuffle", shuffle),
        generator=generator,
        progress=arrays.flag("progress", progress),
        callbacks=callbacks,
        numerical=requests.is_numerical(gradient, self, source.weights),
        figures=requests.names_of_figures(source.counts_hits, validation is not None, measured),
        metrics=measured,
        initial_epoch=requests.epochs_done(initial_epoch, epochs),
        seed=int(rng) if isinstance(rng, int | np.integer) else None,
    )
    run = Run(self, request, savers_of(callbacks))
    begin(run, found)
    self.history = run.history
    return run.train()


def find_checkpoint(path: str | os.PathLike[str] | None) -> "Found | None":
    """The checkpoint to go on from; None for None, and where there is none yet."""
    if path is None:
        return None
    from fastnn.network.saving import find  # here, as few need it

    return find(path)


def savers_of(callbacks: Sequence[Callback]) -> "list[Saver]":
    """The writers of all checkpoints."""
    checkpoints = [one for one in callbacks if isinstance(one, Checkpoint)]
    if not checkpoints:
        return []
    from fastnn.network.saving import Saver  # here, as few need it

    return [Saver(one) for one in checkpoints]


def begin(run: Run, found: "Found | None") -> None:
    """Begin all callbacks, and go on from a checkpoint; where one of them refuses, all of them end."""
    network, callbacks = run.network, run.request.callbacks
    if found is not None:
        found.check(run)
    calls.begin(callbacks, network, run.request.figures)
    try:
        if found is not None:
            found.go_on(run)
        for saver in run.savers:
            saver.check(run)
    except BaseException:
        calls.end(callbacks, network, History())
        raise
