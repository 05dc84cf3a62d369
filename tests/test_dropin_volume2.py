"""The modules of the second volume, against their documented semantics."""

import math
import pathlib
from typing import Any

import numpy as np
import pytest

from fastnn.dropin.volume2.common import base_model, functions, layers, optimizer, trainer, util
from fastnn.dropin.volume2.common import np as module
from tests.shapes import numbers


@pytest.mark.parametrize("name", ["functions", "layers", "optimizer", "np", "trainer", "util", "base_model"])
def test_np_leaks_from_every_module(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from fastnn.dropin.volume2.common.{name} import *", namespace)
    assert namespace["np"] is np
    assert name == "trainer" or namespace["GPU"] is False
    assert module.np is np


def test_softmax_of_any_rank() -> None:
    x = numbers(1, 4, 6)
    np.testing.assert_allclose(functions.softmax(x).sum(axis=1), np.ones(4), rtol=1e-6)
    np.testing.assert_allclose(functions.softmax(x[0]), functions.softmax(x)[0], rtol=1e-6)
    three = numbers(1, 2, 3, 4)
    assert functions.softmax(three) is three


@pytest.mark.parametrize("size", [(5, 4, 3), (90, 70, 50)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_affine_keeps_its_gradients_arrays(size: tuple[int, int, int], dtype: Any) -> None:
    N, D, H = size
    x, W, b, dout = (numbers(i, *s, dtype=dtype) for i, s in enumerate([(N, D), (D, H), (H,), (N, H)]))
    affine, product = layers.Affine(W, b), layers.MatMul(W)
    kept = [*affine.grads, *product.grads]
    for layer in (affine, product):
        y = layer.forward(x)
        np.testing.assert_allclose(y, x @ W + (b if layer is affine else 0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(layer.backward(dout), dout @ W.T, rtol=1e-3, atol=1e-4)
    assert all(a is b for a, b in zip([*affine.grads, *product.grads], kept, strict=True))
    assert affine.params[0] is W and affine.params[1] is b
    for found, expected in zip(kept, (x.T @ dout, dout.sum(axis=0), x.T @ dout), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_losses_honour_their_gradient() -> None:
    x, t = numbers(1, 6, 4, dtype=np.float64), np.arange(6) % 4
    layer = layers.SoftmaxWithLoss()
    assert layer.forward(x, np.eye(4)[t]) == layer.forward(x, t)
    np.testing.assert_array_equal(layer.t, t)
    np.testing.assert_allclose(layer.backward(3.0), 3 * layer.backward())
    assert not hasattr(layer, "loss")
    binary, targets = layers.SigmoidWithLoss(), np.array([0, 1, 1, 0])
    loss = binary.forward(x[0], targets)
    y = 1 / (1 + np.exp(-x[0]))
    assert loss == binary.loss == pytest.approx(-np.mean(np.log(np.where(targets, y, 1 - y) + 1e-7)))
    np.testing.assert_allclose(binary.backward(2.0), 2 * (y - targets) / 4)


def test_softmax_backward() -> None:
    x, dout, layer = numbers(1, 3, 5, dtype=np.float64), numbers(2, 3, 5, dtype=np.float64), layers.Softmax()
    layer.forward(x)
    dx = layer.backward(dout)
    for place in ((0, 0), (2, 3)):
        moved = [x.copy(), x.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        above, below = (np.sum(functions.softmax(one) * dout) for one in moved)
        assert dx[place] == pytest.approx((above - below) / 2e-5, abs=1e-8)


def test_embedding_adds_up_what_is_taken_twice() -> None:
    layer = layers.Embedding(numbers(1, 5, 3, dtype=np.float64))
    index, kept = np.array([1, 4, 1]), layer.grads[0]
    np.testing.assert_array_equal(layer.forward(index), layer.params[0][index])
    for _ in range(2):  # zeroed each time
        layer.backward(np.ones((3, 3)))
    assert layer.grads[0] is kept
    np.testing.assert_array_equal(kept, np.array([0, 2, 0, 0, 1])[:, None] * np.ones(3))


@pytest.mark.parametrize("size", [3, 900])
def test_optimizers_over_lists(size: int) -> None:
    expected = {"SGD": 0.99, "Momentum": 0.99, "Nesterov": 0.9729, "AdaGrad": 0.99, "RMSprop": 0.9, "Adam": 0.999}
    for name, value in expected.items():
        params = [np.ones(size), np.ones(size)]
        kept = list(params)
        made = getattr(optimizer, name)()
        made.update(params, [np.ones(size), np.ones(size)])
        np.testing.assert_allclose(params, value, rtol=1e-5, err_msg=name)
        made.update(params, [np.ones(size), np.ones(size)])
        assert all(a is b for a, b in zip(params, kept, strict=True))
        states = [value for name, value in vars(made).items() if name in ("v", "h", "m")]
        assert all(isinstance(value, list) and len(value) == 2 for value in states) and bool(states) == (name != "SGD")


class Model(base_model.BaseModel):
    """Two layers."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        generator = np.random.default_rng(0)
        D, H, K = widths
        self.layers: list[Any] = [
            layers.Affine(0.1 * generator.normal(size=(D, H)), np.zeros(H)),
            layers.Sigmoid(),
            layers.Affine(0.1 * generator.normal(size=(H, K)), np.zeros(K)),
        ]
        self.loss_layer = layers.SoftmaxWithLoss()
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    def forward(self, x: Any, t: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss_layer.forward(x, t)

    def backward(self, dout: Any = 1) -> Any:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


def test_training(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(90, 2))
    t = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = Model((2, 20, 2))
    np.random.seed(0)  # noqa: NPY002
    made = trainer.Trainer(model, optimizer.Adam(lr=0.05))
    made.fit(x, t, max_epoch=60, batch_size=30, max_grad=5.0, eval_interval=3)
    assert len(made.loss_list) == 60 and made.current_epoch == 60
    assert made.loss_list[-1] < 0.5 < 0.6 < made.loss_list[0]
    assert "| epoch 60 | iter 1 / 3 |" in capsys.readouterr().out
    model.save_params(str(tmp_path / "model.pkl"))
    other = Model((2, 20, 2))
    other.load_params(str(tmp_path / "model.pkl"))
    np.testing.assert_allclose(other.params[0], model.params[0], rtol=1e-3)
    with pytest.raises(OSError, match=r"^file_name: expected a file, got .*none\.pkl, which does not exist"):
        model.load_params(str(tmp_path / "none.pkl"))


def test_recurrent_batches() -> None:
    made = trainer.RnnlmTrainer(None, None)
    made.time_idx = 0
    xs = np.arange(20)
    x, t = made.get_batch(xs, xs + 1, 2, 3)
    assert x.tolist() == [[0, 1, 2], [10, 11, 12]] and t.tolist() == [[1, 2, 3], [11, 12, 13]]
    assert made.get_batch(xs, xs, 2, 3)[0].tolist() == [[3, 4, 5], [13, 14, 15]] and x.dtype == np.int32


def test_weights_that_are_shared() -> None:
    W, other = numbers(1, 3, 2), numbers(2, 4)
    params, grads = [W, other, W, W.T], [np.ones((3, 2)), np.ones(4), np.ones((3, 2)), np.ones((2, 3))]
    some, gradients = trainer.remove_duplicate(params, grads)
    assert len(some) == 2 and some[0] is W and len(params) == 4
    np.testing.assert_array_equal(gradients[0], 3 * np.ones((3, 2)))


def test_clipping_in_place() -> None:
    grads = [np.full(4, 3.0), np.full(4, 4.0)]
    kept = grads[0]
    util.clip_grads(grads, 5.0)
    assert grads[0] is kept
    assert np.sqrt(sum(np.sum(g**2) for g in grads)) == pytest.approx(5.0, rel=1e-6)
    util.clip_grads(grads, 50.0)
    assert np.sqrt(sum(np.sum(g**2) for g in grads)) == pytest.approx(5.0, rel=1e-6)


def test_texts(capsys: pytest.CaptureFixture[str]) -> None:
    corpus, word_to_id, id_to_word = util.preprocess("You say goodbye and I say hello.")
    assert corpus.tolist() == [0, 1, 2, 3, 4, 1, 5, 6]
    assert id_to_word[6] == "." and word_to_id["you"] == 0
    counts = util.create_co_matrix(corpus, 7)
    assert counts.dtype == np.int32 and counts[1].tolist() == [1, 0, 1, 0, 1, 1, 0]
    np.testing.assert_array_equal(counts, counts.T)
    information = util.ppmi(counts)
    total, sums = counts.sum(), counts.sum(axis=0)
    assert information.dtype == np.float32
    assert information[0, 1] == pytest.approx(np.log2(counts[0, 1] * total / (sums[0] * sums[1])), rel=1e-6)
    contexts, target = util.create_contexts_target(corpus)
    assert contexts[0].tolist() == [0, 2] and target.tolist() == [1, 2, 3, 4, 1, 5]
    assert util.convert_one_hot(target, 7).shape == (6, 7)
    one_hot = util.convert_one_hot(contexts, 7)
    assert one_hot.shape == (6, 2, 7) and one_hot.dtype == np.int32 and one_hot.sum() == 12 and one_hot[0, 1, 2] == 1
    assert util.cos_similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))
    util.most_similar("you", word_to_id, id_to_word, information, top=2)
    util.most_similar("nobody", word_to_id, id_to_word, information)
    util.analogy("you", "say", "i", word_to_id, id_to_word, util.normalize(information + 1), top=1, answer="hello")
    out = capsys.readouterr().out
    assert "[query] you" in out and "nobody is not found" in out and "[analogy] you:say = i:?" in out
    information = util.ppmi(np.array([[0, 2, 0], [2, 0, 0], [0, 0, 0]], np.int32))  # the last word does not occur
    np.testing.assert_allclose(information, [[0, 1, 0], [1, 0, 0], [0, 0, 0]], atol=1e-7)
    unknown = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [np.nan, np.nan]])
    util.analogy("a", "b", "c", {"a": 0, "b": 1, "c": 2, "d": 3}, dict(enumerate("abcd")), unknown)
    assert "nan" not in capsys.readouterr().out
    assert util.to_cpu(corpus) is corpus
    with pytest.raises(RuntimeError, match=r"^to_gpu: expected GPU = False"):
        util.to_gpu(corpus)


def test_evaluations(capsys: pytest.CaptureFixture[str]) -> None:
    class Constant:
        def forward(self, xs: Any, ts: Any) -> float:
            assert xs.shape == (2, 5) and np.array_equal(xs + 1, ts)
            return 1.0

        def generate(self, question: Any, start: int, count: int) -> list[int]:
            return [start + 1 + i for i in range(count)]

    assert util.eval_perplexity(Constant(), np.arange(41), 2, 5) == pytest.approx(math.e)
    letters = dict(enumerate("abcdef"))
    assert util.eval_seq2seq(Constant(), np.array([[0, 1]]), np.array([2, 3, 4]), letters, verbos=True) == 1
    assert util.eval_seq2seq(Constant(), np.array([[0, 1]]), np.array([2, 4, 4]), letters) == 0
    assert "Q ab" in capsys.readouterr().out
