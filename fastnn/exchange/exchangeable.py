"""The methods of Network that exchange it with other libraries.

What they need is imported when they are called, other libraries included: it takes 14 ms, and few programs need it.
"""

import copy
import os
from typing import Any, Self

from fastnn.gate.slips import answers_slips


class Exchangeable:
    """A network that comes from other libraries and goes there."""

    @classmethod
    def from_torch(cls, module: Any, *, loss: Any = None, input_shape: Any = None) -> Self:
        """A network with the layers of a PyTorch module and a copy of its parameters and statistics.

        It predicts what the module computes in evaluation mode, to rounding. Both are compared on a few random rows,
        unless there is a Step: the module is traced and called once, in evaluation mode, and then has its modes again.

        Parameters
        ----------
        module : torch.nn.Module
            A chain of Linear, Conv2d, MaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Flatten, Dropout and activations:
            a torch.nn.Sequential, or a module of your own whose `forward` calls modules and functions such as
            torch.relu one after the other. Convolutions have one stride and padding for both axes, groups=1 and
            dilation=1; pools no ceil_mode, and a mean counts the padding. Its parameters
            are all float32 or all float64, and on the CPU or another device. A module that is called twice becomes two
            layers. Predictions are the module's, but fastnn's layers train more: a Linear without a bias gets one of 0,
            a BatchNorm1d without weights gets gamma 1 and beta 0, and one with momentum=None a momentum of 0.9. The
            first module of `Network.to_torch` where there is one for `input_scale` is read as such. A module of whose
            parameters none requires a gradient becomes a layer with trainable=False.
        loss : str or fastnn.losses.Loss, optional
            By default cross_entropy after a last Softmax, log_loss after a last Sigmoid, else softmax_cross_entropy for
            several outputs and mean_squared_error for one.
        input_shape : tuple of int, optional
            The shape of one sample, such as (1, 28, 28); needed for images, and where the module begins with Flatten.

        Raises
        ------
        ValueError
            For a part that fastnn does not have, for hooks, and for a module that computes something else than its
            layers tell.
        TypeError
            For anything but a module, and for parameters of other dtypes.

        Examples
        --------
        >>> import torch
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
        >>> net = fastnn.Network.from_torch(module)
        >>> net
        Network([Affine(4, 3), Tanh(), Affine(3, 2)], loss="softmax_cross_entropy", dtype="float32")
        >>> x = np.ones((5, 4), np.float32)
        >>> np.allclose(net.predict(x), module(torch.from_numpy(x)).detach(), atol=1e-6)
        True
        """
        from fastnn.exchange.agreement import check_agreement
        from fastnn.exchange.parts import network_of
        from fastnn.exchange.torch_reading import torch_outputs, torch_parts

        network = network_of(cls, torch_parts(module), "module", loss, input_shape)
        check_agreement(network, "module", torch_outputs(module))
        return network

    @classmethod
    def from_keras(cls, model: Any, *, loss: Any = None) -> Self:
        """A network with the layers of a Keras model and a copy of its weights and statistics.

        It predicts what `model.predict` does, to rounding. Both are compared on a few random rows, for which the model
        is called once.

        Parameters
        ----------
        model : keras.Model
            A Sequential model, or one whose layers are a chain, of Keras' own Dense, BatchNormalization, Flatten,
            Dropout and activations, each used once; of Keras 3, with any backend. A first Rescaling without an offset
            becomes `input_scale`.
        loss : str or fastnn.losses.Loss, optional
            By default cross_entropy after a last Softmax, log_loss after a last Sigmoid, else softmax_cross_entropy for
            several outputs and mean_squared_error for one.

        Raises
        ------
        ValueError
            For a layer that fastnn does not have, for a model that is not built, and for one that computes something
            else than its layers tell.
        TypeError
            For weights that are not all float32 or all float64.

        Examples
        --------
        >>> import keras
        >>> layers = [keras.layers.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)]
        >>> model = keras.Sequential(layers)
        >>> net = fastnn.Network.from_keras(model)
        >>> x = np.ones((5, 4), np.float32)
        >>> np.allclose(net.predict(x), model.predict(x, verbose=0), atol=1e-6)
        True
        """
        from fastnn.exchange.agreement import check_agreement
        from fastnn.exchange.keras_models import input_shape_of, keras_outputs, keras_parts
        from fastnn.exchange.parts import network_of

        network = network_of(cls, keras_parts(model), "model", loss, input_shape_of(model))
        check_agreement(network, "model", keras_outputs(model))
        return network

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """A network with the coefficients of a fitted MLPClassifier or MLPRegressor of scikit-learn.

        For an estimator of fastnn.sklearn it is a copy of its `network_`.

        A classifier's network predicts logits: `fastnn.softmax(network.predict(x))` is `predict_proba` for three
        classes or more; for two classes and for several labels at once,
        `fastnn.activation_forward("sigmoid", network.predict(x))` is the probability of class 1. Its labels are places
        in `estimator.classes_`.

        Raises
        ------
        ValueError
            If the estimator is not fitted, if it predicts something else than its coefficients tell, and for a
            regressor of another loss than the squared error.
        TypeError
            For anything but such an estimator.

        Examples
        --------
        >>> from sklearn.neural_network import MLPClassifier
        >>> (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
        >>> estimator = MLPClassifier((20,), early_stopping=True, random_state=0).fit(x, t)
        >>> net = fastnn.Network.from_sklearn(estimator)
        >>> np.allclose(fastnn.softmax(net.predict(x_test)), estimator.predict_proba(x_test), atol=1e-5)
        True
        """
        from fastnn.exchange.agreement import check_agreement
        from fastnn.exchange.parts import network_of
        from fastnn.exchange.sklearn_models import sklearn_outputs, sklearn_parts

        own: Any = getattr(estimator, "network_", None)
        if isinstance(own, Exchangeable):  # coefficients alone would leave BatchNorm out
            made: Any = copy.copy(own)
            return made  # type: ignore[no-any-return]
        parts, loss = sklearn_parts(estimator)
        network = network_of(cls, parts, "estimator", loss, None)
        check_agreement(network, "estimator", *sklearn_outputs(estimator))
        return network

    @classmethod
    def from_onnx(cls, model: Any, *, loss: Any = None) -> Self:
        """A network with the layers of an ONNX model and a copy of its parameters.

        It predicts what a runtime computes, to rounding.

        Parameters
        ----------
        model : str, os.PathLike, bytes or onnx.ModelProto
            A file, its content, or the model: a chain of Gemm, or MatMul and Add, Conv, MaxPool, AveragePool,
            BatchNormalization, Flatten or Reshape, Dropout and activations, as the exporters of PyTorch, Keras (but for
            its layers of images, BatchNormalization and PReLU) and skl2onnx (but for classifiers of two classes) write
            it. Where there are several outputs, the one in floats is followed: the probabilities of a classifier. A
            first Mul by a number above 0 becomes `input_scale`.
        loss : str or fastnn.losses.Loss, optional
            By default the one that `Network.to_onnx` has noted, with its options; where there is none, or one of your
            own that is not made here (with a warning), as for `Network.from_torch`. The regularization and the notes
            are as written there.

        Raises
        ------
        ValueError
            For an operator that fastnn does not have, and for one that treats the samples together.
        TypeError
            For anything but a model or the name of a file, and for parameters that are not all float32 or all float64.
        ModelFileError
            For a file that is no ONNX model.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0)
        >>> _ = net.to_onnx("net.onnx")
        >>> fastnn.Network.from_onnx("net.onnx")
        Network([Affine(4, 3), Tanh(), Affine(3, 2)], loss="softmax_cross_entropy", dtype="float32")
        """
        from fastnn.exchange.onnx_notes import noted, notes_in
        from fastnn.exchange.onnx_reading import onnx_parts
        from fastnn.exchange.parts import network_of

        parts, metadata, input_shape = onnx_parts(model)
        options = noted(metadata, loss)
        network: Any = network_of(cls, parts, "model", options.pop("loss"), input_shape, **options)
        network.notes.update(notes_in(metadata))
        return network  # type: ignore[no-any-return]

    def to_torch(self) -> Any:
        """The same network for PyTorch, with a copy of the parameters and statistics, for the same dtype.

        It is in evaluation mode, in which it predicts what this network predicts, to rounding; call `.train()` to train
        it. Its first module is a factor, which also takes tensors of uint8, if `input_scale` is not 1. Parameters of
        layers with trainable=False require no gradient; factors of the learning rate are left out.

        Returns
        -------
        torch.nn.Sequential

        Examples
        --------
        >>> import torch
        >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0)
        >>> module = net.to_torch()
        >>> [type(part).__name__ for part in module]
        ['Linear', 'Tanh', 'Linear']
        >>> x = np.ones((5, 4), np.float32)
        >>> np.allclose(module(torch.from_numpy(x)).detach(), net.predict(x), atol=1e-6)
        True
        """
        from fastnn.exchange.torch_writing import torch_module

        return torch_module(self)

    @answers_slips
    def to_onnx(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The network as an ONNX model, which takes "x" (N, *input_shape) and gives "y", what `predict` gives.

        It is of the earliest opset that has its operators (15; 20 with Gelu), and in the network's dtype. In float64,
        runtimes may lack an operator, and the numbers of LeakyRelu and Elu are rounded to float32, as ONNX has them.
        An `input_scale` is a first Mul, Dropout2d a Dropout whose description says so, as ONNX has none. Dropout, the
        loss with its options, the regularization and the notes are kept for `Network.from_onnx`; the optimizer, frozen
        layers and factors of their learning rates are not.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Also write it to this file, whole or not at all.

        Returns
        -------
        onnx.ModelProto

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0)
        >>> model = net.to_onnx("net.onnx")
        >>> [node.op_type for node in model.graph.node]
        ['Gemm', 'Tanh', 'Gemm']
        """
        from fastnn.exchange.onnx_writing import onnx_model
        from fastnn.system import paths

        model = onnx_model(self)
        if path is not None:
            with paths.writing(path) as file:
                file.write(model.SerializeToString())
        return model
