"""The first volume's trainer, with a log of losses and accuracies (Saito, 2016, chapter 6)."""

from typing import Any

import numpy as np

from fastnn.dropin.common.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "Trainer", "np"]

# "rmsprpo" is the book's spelling.
OPTIMIZERS = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "rmsprpo": RMSprop,
    "adam": Adam,
}


class Trainer:
    """Trains a network on mini-batches drawn with replacement from NumPy's global generator.

    Parameters
    ----------
    network
        It has `params`, `gradient(x, t)`, `loss(x, t)` and `accuracy(x, t)`.
    x_train, t_train, x_test, t_test : arrays
    epochs, mini_batch_size : int
    optimizer : str
        SGD, Momentum, Nesterov, AdaGrad, RMSprop or Adam, in any case.
    optimizer_param : dict
        The optimizer's arguments.
    evaluate_sample_num_per_epoch : int, optional
        How many samples accuracies are measured on; by default all.
    verbose : bool
        Print losses and accuracies.
    """

    # Twelve parameters: they are the book's.
    def __init__(
        self,
        network: Any,
        x_train: Any,
        t_train: Any,
        x_test: Any,
        t_test: Any,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: dict[str, Any] = {"lr": 0.01},  # noqa: B006 - the book's signature; only read
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        self.network, self.verbose = network, verbose
        self.x_train, self.t_train, self.x_test, self.t_test = x_train, t_train, x_test, t_test
        self.epochs, self.batch_size = epochs, mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.optimizer = OPTIMIZERS[optimizer.lower()](**optimizer_param)
        self.train_size = x_train.shape[0]
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.current_iter = self.current_epoch = 0
        self.train_loss_list: list[Any] = []
        self.train_acc_list: list[Any] = []
        self.test_acc_list: list[Any] = []

    def train_step(self) -> None:
        """Make one update and record the loss after it and, once in each epoch, the accuracies."""
        chosen = np.random.choice(self.train_size, self.batch_size)  # noqa: NPY002 - the generator the books seed
        x, t = self.x_train[chosen], self.t_train[chosen]
        self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self.current_epoch += 1
            some = slice(self.evaluate_sample_num_per_epoch)
            self.train_acc_list.append(self.network.accuracy(self.x_train[some], self.t_train[some]))
            self.test_acc_list.append(self.network.accuracy(self.x_test[some], self.t_test[some]))
            if self.verbose:
                accuracies = f"train acc:{self.train_acc_list[-1]}, test acc:{self.test_acc_list[-1]}"
                print(f"=== epoch:{self.current_epoch}, {accuracies} ===")
        self.current_iter += 1

    def train(self) -> None:
        """Train for all epochs."""
        for _ in range(self.max_iter):
            self.train_step()
        accuracy = self.network.accuracy(self.x_test, self.t_test)
        if self.verbose:
            print(f"=== final test accuracy:{accuracy} ===")
