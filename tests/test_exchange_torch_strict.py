"""Modules of PyTorch that compute something else than a list of their layers: each is read right, or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.exchange.agreement import check_agreement
from tests.exchanged import INPUTS, assert_predicts, rows

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Calling(nn.Module):  # type: ignore[misc, name-defined]
    """A module of a linear layer whose forward is a given function of itself and x."""

    def __init__(self, function: Callable[[Any, Any], Any], inputs: int = INPUTS) -> None:
        super().__init__()
        self.function, self.first = function, nn.Linear(inputs, 4)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def chain() -> Any:
    return nn.Sequential(nn.Linear(INPUTS, 4), nn.ReLU(), nn.Linear(4, 3))


def changed(change: Callable[[Any], Any]) -> Any:
    """A chain after a change to it, or to one of its modules."""
    module = chain()
    change(module)
    return module


def doubled(module: Any, *arguments: Any) -> Any:
    return 2.0 * arguments[-1]


def replace_forward(module: Any) -> None:
    module.forward = lambda x: 3.0 * type(module).forward(module, x)


def in_place(change: Callable[[Any], Any]) -> Any:
    """A module that changes a value in place and goes on with the value."""

    def function(module: Any, x: Any) -> Any:
        h = module.first(x)
        change(h)
        return h

    return Calling(function)


class Step(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return 7.0 * x


@torch.fx.wrap  # type: ignore[untyped-decorator]
def gelu(x: Any) -> Any:
    return 100.0 * x


class Scaled(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, 4)

    def forward(self, x: Any, slope: float = 0.5) -> Any:
        return F.leaky_relu(self.first(x), slope)


class Second(Scaled):
    def forward(self, x: Any, y: Any) -> Any:  # type: ignore[override]
        return self.first(y)


class Calls(nn.Sequential):  # type: ignore[misc, name-defined]
    """A chain whose forward is one, and whose call is something else."""

    def __call__(self, x: Any) -> Any:
        return 1.5 * super().__call__(x)


class Refusing(nn.Sequential):  # type: ignore[misc, name-defined]
    def __call__(self, x: Any) -> Any:
        raise RuntimeError("not today")


norm, prune = nn.utils.parametrizations, pytest.importorskip("torch.nn.utils.prune")
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "hook": (lambda: changed(lambda m: m[0].register_forward_hook(doubled)), "Linear with the hook doubled; remove"),
    "hook before": (lambda: changed(lambda m: m[2].register_forward_pre_hook(doubled)), "Linear with the hook doubled"),
    "hook on all": (lambda: changed(lambda m: m.register_forward_hook(doubled)), "Sequential with the hook doubled"),
    "weight norm of old": (lambda: changed(lambda m: nn.utils.weight_norm(m[0])), "the hook WeightNorm; .*remove_w"),
    "spectral norm of old": (lambda: changed(lambda m: nn.utils.spectral_norm(m[0])), "the hook SpectralNorm"),
    "pruned": (lambda: changed(lambda m: prune.random_unstructured(m[0], "weight", 0.5)), "hook RandomUnstructured"),
    "weight norm": (lambda: changed(lambda m: norm.weight_norm(m[0])), "ParametrizedLinear; call .*remove_param"),
    "forward of a part": (lambda: changed(lambda m: replace_forward(m[0])), "Linear whose forward is replaced"),
    "forward of all": (lambda: changed(replace_forward), "Sequential whose forward is replaced"),
    "call": (lambda: Calls(nn.Linear(INPUTS, 4)), "computes what its layers tell, got .*, not .* of a random row; "),
    "failing call": (lambda: Refusing(nn.Linear(INPUTS, 4)), r"outputs for random rows .*got RuntimeError \(not today"),
    "relu in place": (lambda: in_place(lambda h: h.relu_()), "got relu_, whose result no further layer takes; "),
    "F.relu in place": (lambda: in_place(lambda h: F.relu(h, inplace=True)), "got relu, whose result no"),
    "product in place": (lambda: in_place(lambda h: h.mul_(3)), "got mul_, whose result no"),
    "item": (lambda: in_place(lambda h: h.__setitem__(0, 1.0)), "got setitem, whose result no"),
    "always drops": (lambda: Calling(lambda m, x: F.dropout(m.first(x), 0.5)), r"dropout\(.*pass training=self.tr"),
    "flat at all": (lambda: Calling(lambda m, x: torch.flatten(m.first(x))), r"got flatten\(\); pass torch.flatten"),
    "flat at the end": (lambda: Calling(lambda m, x: m.first(x).flatten(end_dim=1)), r"got flatten\(end_dim=1\); pass"),
    "rows of 2": (lambda: Calling(lambda m, x: m.first(x).view(2, -1)), r"got view\(2, -1\); pass torch.flatten"),
    "rows of the other axis": (lambda: Calling(lambda m, x: m.first(x).view(x.size(1), -1)), r"got view\(size, -1\)"),
    "twice the rows": (lambda: Calling(lambda m, x: m.first(x).view(x.size(0) * 2, -1)), r"got view\(mul, -1\)"),
    "rows from a shape": (lambda: Calling(lambda m, x: m.first(x).reshape(x.shape[1], -1)), r"got reshape\(getitem, -"),
    "halves": (lambda: Calling(lambda m, x: m.first(x).view(-1, 2)), "flattening to rows of 4, .*got rows of 2, which"),
    "nn.Flatten(0)": (lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.Flatten(0)), r"got Flatten\(start_dim=0"),
    "nn.Flatten(1, 2)": (
        lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.Flatten(1, 2)), r"got Flatten\(start_dim=1, end_dim=2\)",
    ),
    "Softmax of columns": (lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.Softmax(0)), r"Softmax\(dim=0\); use dim=-1"),
    "softmax of columns": (lambda: Calling(lambda m, x: F.softmax(m.first(x), dim=0)), r"Softmax\(dim=0\); use dim=-1"),
    "softmax in float64": (
        lambda: Calling(lambda m, x: m.first(x).softmax(1, dtype=torch.float64)), r"got softmax\(dim=1, dtype=torch.fl",
    ),
    "Softplus": (lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.Softplus(threshold=0.1)), "use threshold=20.0"),
    "softplus": (lambda: Calling(lambda m, x: F.softplus(m.first(x), 1.0, 19.0)), "threshold=19.0.; use threshold=20"),
    "softplus of 2 x": (lambda: Calling(lambda m, x: F.softplus(m.first(x), 2.0)), "use beta=1.0"),
    "gelu by tanh": (lambda: Calling(lambda m, x: F.gelu(m.first(x), approximate="tanh")), "use approximate='none'"),
    "one's own Step": (lambda: nn.Sequential(nn.Linear(INPUTS, 4), Step()), "got the function mul"),
    "one's own gelu": (lambda: Calling(lambda m, x: gelu(m.first(x))), "got the function gelu"),
    "widths": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 2)), r"layers\[1\]: expected Affine\(2, 2\), as"),
    "one statistic": (
        lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.BatchNorm1d(1)),
        r"^module: expected gamma of the shape \(4,\) for BatchNorm\(0.9, 1e-05\), got \(1,\); make the widths agree$",
    ),
    "three slopes": (lambda: nn.Sequential(nn.Linear(INPUTS, 4), nn.PReLU(3)), r"slope of the shape \(4,\).*got \(3"),
    "complex": (lambda: nn.Sequential(nn.Linear(3, 2, dtype=torch.complex64)), "got torch.complex64 in Linear; call"),
    "meta": (lambda: nn.Sequential(nn.Linear(3, 2, device="meta")), "weight has no numbers in memory"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), "got LazyLinear"),
    "compiled": (lambda: torch.compile(chain(), backend="eager"), "got OptimizedModule"),
    "argument with a default": (Scaled, "leaky_relu, which has 2 inputs"),
    "second argument": (Second, "depend on y, not on x; pass a module of one tensor"),
    "dictionary": (lambda: Calling(lambda m, x: {"y": m.first(x)}), "got the output .*; return one tensor"),
    "a call whose result is dropped": (
        lambda: Calling(lambda m, x: (m.first(x), torch.relu(x))[0]), "relu, whose result no",
    ),
    "product": (lambda: Calling(lambda m, x: m.first(x) * 2.0), "got the function mul"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, sentence = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"(?s){sentence}"):
        fastnn.Network.from_torch(make())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantized_modules_are_refused() -> None:
    quantized = torch.ao.quantization.quantize_dynamic(chain(), {nn.Linear})
    with pytest.raises(ValueError, match="got DynamicQuantizedLinear"):
        fastnn.Network.from_torch(quantized)


READ: dict[str, Callable[[Any, Any], Any]] = {
    "reshape to a tuple": lambda m, x: m.first(torch.reshape(x, (x.size(0), -1))),
    "reshape by name": lambda m, x: m.first(x.reshape(shape=(x.size()[0], -1))),
    "view of the shape": lambda m, x: m.first(x.view(x.shape[0], x.shape[1] * x.shape[2])),
    "view of all": lambda m, x: m.first(x.view(-1, INPUTS)),
    "flatten": lambda m, x: m.first(x.flatten(1, -1)),
    "flatten by name": lambda m, x: m.first(torch.flatten(x, end_dim=-1, start_dim=1)),
    "by name": lambda m, x: torch.relu(input=m.first(torch.flatten(x, 1))),
    "in place, and on with the result": lambda m, x: m.first(x.flatten(1)).relu_(),
    "only in training": lambda m, x: m.first(x.flatten(1)) if not m.training else 0.0 * x,
    "dropout": lambda m, x: F.dropout(m.first(x.flatten(1)), 0.5, m.training),
    "softplus": lambda m, x: F.softplus(m.first(x.flatten(1)), threshold=25.0),
    "softmax": lambda m, x: torch.softmax(m.first(x.flatten(1)), -1),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("training", [True, False])
def test_read_in_evaluation_mode(name: str, training: bool) -> None:
    module = Calling(READ[name]).train(training)
    module.first.train(not training)
    x = rows("float32").reshape(-1, 3, INPUTS // 3)
    state = torch.random.get_rng_state()
    network = fastnn.Network.from_torch(module, input_shape=x.shape[1:])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (module.training, module.first.training) == (training, not training)
    module.eval()
    with torch.no_grad():
        assert_predicts(network, x, module(torch.from_numpy(x)).numpy())


def test_modes_return_where_a_forward_fails() -> None:
    module = Calling(lambda m, x: m.first(x) if x.sum() > 0 else x).train()
    with pytest.raises(ValueError, match="cannot be traced"):
        fastnn.Network.from_torch(module)
    assert module.training
    assert module.first.training


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_parameters_that_are_or_become_infinite_are_no_difference(value: float) -> None:
    module = chain()
    module[2].weight.data[0, :] = value
    network = fastnn.Network.from_torch(module)
    np.testing.assert_array_equal(network.params["W2"], module[2].weight.detach().numpy().T)


def test_probabilities_that_are_named_keep_their_loss() -> None:
    module = nn.Sequential(nn.Linear(INPUTS, 4), nn.Softmax(1), nn.Identity())
    network = fastnn.Network.from_torch(module)
    assert (network.loss_name, len(network.layers)) == ("cross_entropy", 2)


def test_a_step_is_not_compared_as_rounding_takes_it_over_its_border() -> None:
    layers = [fastnn.Affine(1, 1), fastnn.Step(), fastnn.Affine(1, 2)]
    network, other = (fastnn.Network(layers, rng=0) for _ in range(2))
    network.params["W1"][:], other.params["W1"][:] = 1e-30, -1e-30
    x = np.ones((1, 1), np.float32)
    assert not np.array_equal(network.predict(x), other.predict(x))
    check_agreement(network, "module", other.predict)


def test_a_method_of_a_subclass_is_not_compared() -> None:
    class Probabilities(fastnn.Network):
        def predict(self, x: Any, *, out: Any = None, check_finite: bool = True) -> Any:
            return fastnn.softmax(super().predict(x, out=out, check_finite=check_finite))

    network = Probabilities.from_torch(chain())
    np.testing.assert_allclose(network.predict(rows("float32")).sum(axis=1), 1.0, rtol=1e-5)


def test_softplus_goes_there_exactly() -> None:
    network = fastnn.Network([fastnn.Affine(1, 1), fastnn.Softplus()], "mean_squared_error", dtype="float64")
    network.params["W1"][:] = 1.0
    x = np.linspace(15.0, 45.0, 301)[:, None]
    with torch.no_grad():
        theirs = network.to_torch()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(theirs, np.logaddexp(0.0, x), rtol=1e-15, atol=0.0)
