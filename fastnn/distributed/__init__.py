"""Training one network on several machines, by Dask (`pip install fastnn-kernels[dask]`).

Examples
--------
>>> from distributed import Client
>>> (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
>>> net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0)
>>> with Client(n_workers=2, processes=False, dashboard_address=":0") as client:
...     history = fastnn.distributed.fit(net, (x, t), client, epochs=2, batch_size=200)
>>> history.epochs, net.accuracy(x_test, t_test) > 0.3
(2, True)
"""

from fastnn.distributed.training import fit as fit

__all__ = ["fit"]
