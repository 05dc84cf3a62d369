"""Trainers of the second volume (Saito, 2018, chapters 1 and 5), for models whose parameters are lists."""

import time
from typing import Any

import numpy as np

from fastnn.dropin.volume2.common.util import clip_grads

__all__ = ["RnnlmTrainer", "Trainer", "clip_grads", "np", "remove_duplicate", "time"]


class Trainer:
    """Trains on mini-batches; the order of the samples is drawn anew for each epoch from NumPy's global generator."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer
        self.loss_list: list[float] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def fit(
        self,
        x: Any,
        t: Any,
        max_epoch: int = 10,
        batch_size: int = 32,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
    ) -> None:
        """Train; the mean loss of every eval_interval steps is printed and kept in loss_list."""
        self.eval_interval = eval_interval
        steps, start = len(x) // batch_size, time.time()
        losses: list[Any] = []
        for _ in range(max_epoch):
            order = np.random.permutation(np.arange(len(x)))  # noqa: NPY002 - the generator the books seed
            x, t = x[order], t[order]
            for step in range(steps):
                some = slice(step * batch_size, (step + 1) * batch_size)
                losses.append(update(self.model, self.optimizer, (x[some], t[some]), max_grad))
                if eval_interval is not None and step % eval_interval == 0:
                    mean, seconds = float(sum(losses) / len(losses)), int(time.time() - start)
                    place = f"epoch {self.current_epoch + 1} | iter {step + 1} / {steps}"
                    print(f"| {place} | time {seconds}[s] | loss {mean:.2f}")
                    self.loss_list.append(mean)
                    losses = []
            self.current_epoch += 1

    def plot(self, ylim: Any = None) -> None:
        """Draw loss_list and show it; needs matplotlib."""
        _plot(self.loss_list, f"iterations (x{self.eval_interval})", "loss", ylim)


class RnnlmTrainer:
    """Trains a recurrent model on a sequence, cut into as many pieces as a batch has rows."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer
        self.time_idx: Any = None
        self.ppl_list: list[float] | None = None
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def get_batch(self, x: Any, t: Any, batch_size: int, time_size: int) -> tuple[Any, Any]:
        """The next time_size places of each row, as int32; the rows begin evenly spread over the sequence."""
        starts = np.arange(batch_size)[:, None] * (len(x) // batch_size)
        places = (starts + self.time_idx + np.arange(time_size)) % len(x)
        self.time_idx += time_size
        return np.asarray(x)[places].astype("i"), np.asarray(t)[places].astype("i")

    def fit(
        self,
        xs: Any,
        ts: Any,
        max_epoch: int = 10,
        batch_size: int = 20,
        time_size: int = 35,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
    ) -> None:
        """Train; the perplexity of every eval_interval steps is printed and kept in ppl_list."""
        self.time_idx, self.ppl_list, self.eval_interval = 0, [], eval_interval
        steps, start = len(xs) // (batch_size * time_size), time.time()
        losses: list[Any] = []
        for _ in range(max_epoch):
            for step in range(steps):
                batch = self.get_batch(xs, ts, batch_size, time_size)
                losses.append(update(self.model, self.optimizer, batch, max_grad))
                if eval_interval is not None and step % eval_interval == 0:
                    perplexity, seconds = np.exp(sum(losses) / len(losses)), int(time.time() - start)
                    place = f"epoch {self.current_epoch + 1} | iter {step + 1} / {steps}"
                    print(f"| {place} | time {seconds}[s] | perplexity {perplexity:.2f}")
                    self.ppl_list.append(float(perplexity))
                    losses = []
            self.current_epoch += 1

    def plot(self, ylim: Any = None) -> None:
        """Draw ppl_list and show it; needs matplotlib."""
        _plot(self.ppl_list or [], f"iterations (x{self.eval_interval})", "perplexity", ylim)


def update(model: Any, optimizer: Any, batch: tuple[Any, Any], max_grad: float | None) -> Any:
    """Take one step; return the loss before it."""
    loss = model.forward(*batch)
    model.backward()
    params, grads = remove_duplicate(model.params, model.grads)
    if max_grad is not None:
        clip_grads(grads, max_grad)
    optimizer.update(params, grads)
    return loss


def remove_duplicate(params: Any, grads: Any) -> tuple[list[Any], list[Any]]:
    """New lists in which a weight that occurs twice, as itself or transposed, occurs once.

    Its gradient is the sum of both, in the first one's array.
    """
    params, grads = list(params), list(grads)
    i = 0
    while i < len(params):
        j = i + 1
        while j < len(params):
            same = params[i] is params[j]
            if same or _is_transposed(params[i], params[j]):
                grads[i] += grads[j] if same else grads[j].T
                del params[j], grads[j]
            else:
                j += 1
        i += 1
    return params, grads


def _is_transposed(a: Any, b: Any) -> bool:
    return bool(a.ndim == b.ndim == 2 and a.T.shape == b.shape and np.all(b == a.T))


def _plot(values: list[float], xlabel: str, ylabel: str, ylim: Any) -> None:
    import matplotlib.pyplot as plt

    if ylim is not None:
        plt.ylim(*ylim)
    plt.plot(np.arange(len(values)), values, label="train")
    plt.xlabel(xlabel)
    plt.ylabel(ylabel)
    plt.show()
