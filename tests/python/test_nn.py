"""flambeau.nn. Expected numbers are PyTorch 2.7.1's, or worked out by hand beside the test."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import flambeau
import pytest
from flambeau import nn
from flambeau.nn import functional as F


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-5, abs=1e-7)


# -- initial values ------------------------------------------------------------------------------


def test_initial_values_are_pytorchs() -> None:
    flambeau.manual_seed(0)
    linear = nn.Linear(3, 2)
    assert linear.weight.tolist() == [
        [-0.004322517663240433, 0.3097158372402191, -0.4751853346824646],
        [-0.4248946011066437, -0.2223689705133438, 0.15482072532176971],
    ]
    assert linear.bias.tolist() == [-0.011439144611358643, 0.45777493715286255]
    flambeau.manual_seed(0)
    embedding = nn.Embedding(4, 5)
    assert embedding.weight.flatten().tolist()[:3] == close(
        [-1.1258398294448853, -1.152360200881958, -0.2505785822868347]
    )


def test_initialisers_are_pytorchs() -> None:
    flambeau.manual_seed(0)
    t = flambeau.empty(4, 3)
    nn.init.xavier_normal_(t)
    assert t[0].tolist() == close([0.8236970901489258, -0.1568443477153778, -1.1646119356155396])
    nn.init.trunc_normal_(t)
    assert t[0].tolist() == close([-0.19403237104415894, 0.12692409753799438, 1.491908073425293])
    nn.init.kaiming_normal_(t)
    assert t[0].tolist() == close([-0.7283111214637756, -1.2321813106536865, 0.3024250566959381])
    assert nn.init.eye_(flambeau.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert nn.init.constant_(t, 2).tolist() == [[2] * 3] * 4
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        nn.init.xavier_uniform_(flambeau.empty(3))
    with pytest.raises(ValueError, match="Mode odd not supported"):
        nn.init.kaiming_uniform_(t, mode="odd")
    assert nn.init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


def test_a_networks_values_and_gradients_are_pytorchs() -> None:
    flambeau.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2))
    y = net(flambeau.arange(12.0).view(3, 4) / 10)
    assert y.flatten().tolist() == close(
        [0.16613954305648804, -0.34802719950675964, -0.046040356159210205, -0.2753943204879761,
         -0.151655912399292, -0.24055981636047363]
    )  # fmt: skip
    loss = F.cross_entropy(y, flambeau.tensor([0, 1, 1]))
    assert loss.item() == close(0.673907995223999)
    loss.backward()
    assert net[0].weight.grad.flatten().tolist()[:4] == pytest.approx(
        [-0.018042027950286865, -0.020097501575946808, -0.0221529733389616, -0.024208445101976395],
        rel=1e-4,
    )
    assert net[1].weight.grad.tolist() == pytest.approx(
        [0.003017191309481859, -0.01877000741660595, 0.0036973953247070312, -0.0362553708255291,
         0.010419882833957672, -0.11828257888555527, -0.0009319754899479449, 0.016736112534999847],
        rel=1e-4, abs=1e-7,
    )  # fmt: skip
    norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    assert norm.item() == close(0.8479543328285217)
    assert net[0].weight.grad.flatten().tolist()[:2] == pytest.approx(
        [-0.0021277095656841993, -0.002370113041251898], rel=1e-4
    )


# -- Module --------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.rest = nn.ModuleList([nn.Linear(3, 3), nn.Dropout(0.5)])
        self.scale = nn.Parameter(flambeau.ones(1))
        self.register_buffer("count", flambeau.zeros(1))
        self.register_buffer("scratch", flambeau.zeros(1), persistent=False)

    def forward(self, x: Any) -> Any:
        for layer in self.rest:
            x = layer(self.first(x)) if layer is self.rest[0] else layer(x)
        return x * self.scale


def test_registration_order_and_names() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias",
    ]  # fmt: skip
    assert [*net.state_dict()] == [
        "scale", "count", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert repr(net).startswith("Net(\n  (first): Linear(in_features=2, out_features=3, bias=True)")


def test_state_dict_round_trip_and_errors() -> None:
    net, other = Net(), Net()
    other.load_state_dict(net.state_dict())
    assert other.first.weight.tolist() == net.first.weight.tolist()
    assert other.first.weight is not net.first.weight
    state = net.state_dict()
    state["extra"] = state.pop("scale")
    with pytest.raises(RuntimeError) as caught:
        other.load_state_dict(state)
    assert 'Missing key(s) in state_dict: "scale"' in str(caught.value)
    assert 'Unexpected key(s) in state_dict: "extra"' in str(caught.value)
    keys = other.load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["scale"], ["extra"])
    state = net.state_dict()
    state["first.bias"] = flambeau.zeros(4)
    with pytest.raises(RuntimeError, match=r"size mismatch for first\.bias"):
        other.load_state_dict(state)


def test_train_and_eval() -> None:
    net = Net()
    x = flambeau.ones(8, 2)
    net.eval()
    assert net(x).tolist() == net(x).tolist()
    assert not net.rest[1].training
    net.train()
    assert (net(x) == 0).sum().item() > 0
    net(x).sum().backward()
    assert net.first.weight.grad is not None
    net.zero_grad()
    assert net.first.weight.grad is None
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_hooks() -> None:
    net = nn.Linear(2, 2)
    seen: list[str] = []
    handles = [
        net.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
        net.register_forward_hook(lambda m, args, out: out + 1),
    ]
    x = flambeau.ones(1, 2)
    expected = F.linear(x * 2, net.weight, net.bias) + 1
    assert net(x).tolist() == expected.tolist()
    for handle in handles:
        handle.remove()
    assert net(x).tolist() == F.linear(x, net.weight, net.bias).tolist()
    net.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(str(kwargs)), with_kwargs=True
    )
    net(input=x)
    assert seen[0].startswith("{'input': tensor")


def test_modules_copy_and_pickle() -> None:
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.first.weight.tolist() == net.first.weight.tolist()
    with flambeau.no_grad():
        twin.first.weight.add_(1)
    assert twin.first.weight.tolist() != net.first.weight.tolist()
    assert isinstance(twin.first.weight, nn.Parameter)
    again = pickle.loads(pickle.dumps(nn.Linear(2, 2)))
    assert isinstance(again.weight, nn.Parameter)
    assert again.weight.requires_grad


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda m: m.register_parameter("a.b", None), KeyError, 'contain "."'),
        (lambda m: m.register_parameter("training", None), KeyError, "already exists"),
        (lambda m: m.register_buffer("x", 1), TypeError, "cannot assign 'int' object to buffer"),
        (lambda m: setattr(m, "first", 3), TypeError, "as child module 'first'"),
        (lambda m: setattr(m, "scale", flambeau.ones(1)), TypeError, "as parameter 'scale'"),
        (lambda m: m.missing, AttributeError, "has no attribute 'missing'"),
        (lambda m: nn.Module()(1), NotImplementedError, 'missing the required "forward"'),
    ],
)
def test_module_errors(action: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(").replace(".", r"\.")):
        action(Net())


# -- layers --------------------------------------------------------------------------------------


def test_embedding_padding() -> None:
    layer = nn.Embedding(4, 2, padding_idx=-1)
    assert layer.weight[3].tolist() == [0, 0]
    layer(flambeau.tensor([3, 0, 0])).sum().backward()
    assert layer.weight.grad.tolist() == [[2, 2], [0, 0], [0, 0], [0, 0]]
    with pytest.raises(IndexError, match="out of range"):
        layer(flambeau.tensor([4]))


def test_layer_norm_by_hand() -> None:
    """Rows (1, 3) and (2, 2): deviations are 1 and 0, variances 1 and 0."""
    layer = nn.LayerNorm(2, eps=0.25)
    with flambeau.no_grad():
        layer.weight.copy_(flambeau.tensor([1.0, 2.0]))
        layer.bias.copy_(flambeau.tensor([0.5, 0.0]))
    unit = 1 / math.sqrt(1.25)
    result = layer(flambeau.tensor([[1.0, 3.0], [2.0, 2.0]]))
    assert result.flatten().tolist() == close([0.5 - unit, 2 * unit, 0.5, 0.0])
    assert repr(layer) == "LayerNorm((2,), eps=0.25, elementwise_affine=True)"


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_each_element_by_itself(p: float) -> None:
    flambeau.manual_seed(3)
    n = 1 << 20
    kept = (F.dropout(flambeau.ones(n), p) != 0).to(flambeau.float64)
    of_one = math.sqrt(p * (1 - p) / n)
    places = kept.view(-1, 64)
    assert abs(kept.mean().item() - (1 - p)) < 5 * of_one
    # At every place of a block of random bits, and for neighbours of every distance.
    assert (places.mean(0) - (1 - p)).abs().max().item() < 5 * of_one * 8
    centred = kept - kept.mean()
    for distance in range(1, 9):
        product = (centred[distance:] * centred[:-distance]).mean().item()
        assert abs(product) < 5 * p * (1 - p) / math.sqrt(n), distance


def test_dropout() -> None:
    flambeau.manual_seed(0)
    x = flambeau.ones(100, 100)
    y = nn.Dropout(0.25)(x)
    values = sorted({round(v, 6) for v in y.flatten().tolist()})
    assert values == [0, round(1 / 0.75, 6)]
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert nn.Dropout(0.0)(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(x).sum().item() == 0
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1\.5"):
        nn.Dropout(1.5)
    z = flambeau.ones(1000).requires_grad_()
    out = F.dropout(z, 0.5)
    out.sum().backward()
    assert z.grad.tolist() == out.tolist()  # the backward makes the same mask


@pytest.mark.parametrize("grad", [False, True])
def test_attention_is_causal_and_averages(grad: bool) -> None:
    """With equal keys every position takes the mean of the values so far."""
    query = flambeau.randn(1, 2, 4, 3).requires_grad_(grad)
    key = flambeau.ones(1, 2, 4, 3)
    value = flambeau.arange(24.0).view(1, 2, 4, 3)
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    for t in range(4):
        expected = value[:, :, : t + 1].mean(2)
        assert out[:, :, t].flatten().tolist() == close(expected.flatten().tolist())


def test_attention_with_a_mask() -> None:
    query, key = flambeau.randn(2, 3, 4), flambeau.randn(2, 5, 4)
    value = flambeau.randn(2, 5, 4)
    scores = query @ key.transpose(1, 2) / 2
    shift = flambeau.randn(3, 5)
    expected = F.softmax(scores + shift, -1) @ value
    out = F.scaled_dot_product_attention(query, key, value, shift)
    assert out.flatten().tolist() == pytest.approx(expected.flatten().tolist(), rel=1e-4, abs=1e-6)
    seen = flambeau.tensor([True, False, True, True, False])
    expected = F.softmax(scores.masked_fill(seen.logical_not(), -math.inf), -1) @ value
    out = F.scaled_dot_product_attention(query, key, value, seen.expand(3, 5))
    assert out.flatten().tolist() == pytest.approx(expected.flatten().tolist(), rel=1e-4, abs=1e-6)


def test_causal_self_attention_sees_only_the_past() -> None:
    flambeau.manual_seed(0)
    layer = nn.CausalSelfAttention(8, 2)
    x = flambeau.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] = 0
    assert layer(x)[:, :4].tolist() == layer(changed)[:, :4].tolist()
    assert layer(x)[:, 4:].tolist() != layer(changed)[:, 4:].tolist()
    with pytest.raises(ValueError, match="width 8 is not a multiple of 3 heads"):
        nn.CausalSelfAttention(8, 3)


def test_containers() -> None:
    net = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Identity())
    assert net(flambeau.tensor([[[-1.0, 2.0]]])).tolist() == [[0, 2]]
    assert len(net) == 3
    assert isinstance(net[-1], nn.Identity)
    assert len(net[:2]) == 2
    layers = nn.ModuleList([nn.ReLU()])
    layers.append(nn.GELU())
    assert [*layers.named_children()][1][0] == "1"
    named = nn.ModuleDict({"a": nn.ReLU()})
    assert "a" in named


@pytest.mark.parametrize("name", ["GELU", "ReLU", "SiLU", "Tanh", "Sigmoid", "ELU", "Softplus"])
def test_activation_modules_call_their_functions(name: str) -> None:
    x = flambeau.linspace(-3, 3, 7)
    function = getattr(F, name.lower())
    assert getattr(nn, name)()(x).tolist() == function(x).tolist()


def test_inplace_activations() -> None:
    x = flambeau.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0, 2]


# -- functions -----------------------------------------------------------------------------------


def test_softmax_without_dim_warns() -> None:
    x = flambeau.tensor([[0.0, 0.0], [0.0, math.log(3.0)]])
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        result = F.softmax(x)
    assert result[1].tolist() == close([0.25, 0.75])
    assert F.softmax(x, dim=1, dtype=flambeau.float64).dtype == flambeau.float64


def test_batch_norm_of_nothing_keeps_the_statistics() -> None:
    mean, variance = flambeau.zeros(3), flambeau.ones(3)
    weight, bias = flambeau.ones(3, requires_grad=True), flambeau.zeros(3, requires_grad=True)
    F.batch_norm(flambeau.zeros(0, 3, 2), mean, variance, weight, bias, True).sum().backward()
    assert mean.tolist() == [0] * 3 and variance.tolist() == [1] * 3
    assert weight.grad.tolist() == bias.grad.tolist() == [0] * 3
    assert F.batch_norm(flambeau.zeros(0), flambeau.zeros(0), None, training=True).shape == (0,)


def test_cross_entropy_options() -> None:
    """Rows with logits (0, log 3): probabilities 1/4 and 3/4."""
    x = flambeau.tensor([[0.0, math.log(3.0)]] * 3)
    y = flambeau.tensor([0, 1, -100])
    low, high = math.log(4.0), math.log(4 / 3)
    assert F.cross_entropy(x, y).item() == close((low + high) / 2)
    assert F.cross_entropy(x, y, reduction="none").tolist() == close([low, high, 0])
    assert F.cross_entropy(x, y, reduction="sum").item() == close(low + high)
    weight = flambeau.tensor([1.0, 3.0])
    assert F.cross_entropy(x, y, weight).item() == close((low + 3 * high) / 4)
    smooth = F.cross_entropy(x[:1], y[:1], label_smoothing=0.5).item()
    assert smooth == close(0.75 * low + 0.25 * high)
    shares = flambeau.tensor([[0.5, 0.5]] * 3)
    assert F.cross_entropy(x, shares).item() == close((low + high) / 2)
    module = nn.CrossEntropyLoss(weight=weight, ignore_index=-100)
    assert module(x, y).item() == close((low + 3 * high) / 4)
    with pytest.raises(IndexError, match="Target 2 is out of bounds"):
        F.cross_entropy(x, flambeau.tensor([0, 1, 2]))


def test_distances() -> None:
    x = flambeau.tensor([[3.0, 4.0]])
    assert F.normalize(x).tolist() == [close([0.6, 0.8])]
    assert F.cosine_similarity(x, flambeau.tensor([[4.0, 3.0]])).item() == close(24 / 25)
    assert F.one_hot(flambeau.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert nn.MSELoss()(x, flambeau.zeros(1, 2)).item() == close(12.5)


def test_clipping() -> None:
    p = nn.Parameter(flambeau.zeros(2))
    p.grad = flambeau.tensor([3.0, 4.0])
    assert nn.utils.clip_grad_norm_([p], 10.0).item() == close(5)
    assert p.grad.tolist() == [3, 4]
    assert nn.utils.clip_grad_norm_([p], 1.0, norm_type=math.inf).item() == close(4)
    assert p.grad.tolist() == close([0.75, 1])
    nn.utils.clip_grad_value_([p], 0.5)
    assert p.grad.tolist() == close([0.5, 0.5])
    p.grad = flambeau.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="is non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_parameters_as_a_vector() -> None:
    net = nn.Linear(2, 1)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(vector * 0 + 1, net.parameters())
    assert (net.weight.tolist(), net.bias.tolist()) == ([[1, 1]], [1])


def test_modules_without_initial_values_and_old_names() -> None:
    state = flambeau.get_rng_state()
    layer = nn.utils.skip_init(nn.Linear, 3, 2)
    assert flambeau.equal(flambeau.get_rng_state(), state)
    assert layer.weight.shape == (2, 3) and layer.weight.device.type == "cpu"
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        nn.utils.skip_init(nn.ReLU)
    with pytest.warns(FutureWarning, match=r"nn\.init\.constant_"):
        assert nn.init.constant(flambeau.empty(2), 3.0).tolist() == [3.0, 3.0]


def test_pools_of_inputs_shorter_than_a_window() -> None:
    x = flambeau.tensor([[[-3.0, 2.0]]])
    assert F.max_pool1d(x, 3, ceil_mode=True).tolist() == [[[2.0]]]
    assert F.avg_pool1d(x, 4, ceil_mode=True).tolist() == [[[-0.5]]]
    assert F.lp_pool1d(x, 2.0, 4, ceil_mode=True).item() == pytest.approx(26.0**0.5)
    values, places = F.max_pool2d(x[None], 3, 5, ceil_mode=True, return_indices=True)
    assert (values.tolist(), places.tolist()) == ([[[[2.0]]]], [[[[1]]]])
    # The last window begins inside the input or the margin before it.
    assert F.max_pool1d(x, 2, 3, 1, ceil_mode=True).shape == (1, 1, 1)
    for size, stride in ((4, 1), (5, 2), (5, 3)):
        with pytest.raises(RuntimeError, match="output size is too small"):
            F.max_pool1d(x, size, stride, ceil_mode=True)


def test_a_dilated_window_may_lie_in_the_margins() -> None:
    x = flambeau.tensor([[[5.0]]], requires_grad=True)
    y = F.max_pool1d(x, 2, 1, 1, dilation=2)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist()) == ([[[-float("inf")]]], [[[0.0]]])
