"""Tensors of the device "meta": types without memory."""

import copy
import io
import pickle
import warnings

import flambeau as torch
import pytest
from flambeau import nn

pytestmark = pytest.mark.supports


def meta(*sizes, dtype=torch.float32):
    return torch.empty(*sizes, dtype=dtype, device="meta")


def test_made_by_factories():
    for made in (
        torch.empty(2, 3, device="meta"),
        torch.ones(2, 3, device=torch.device("meta")),
        torch.randn(2, 3, device="meta"),
        torch.full((2, 3), 1.5, device="meta"),
        torch.zeros_like(torch.ones(2, 3), device="meta"),
        torch.ones(3).new_zeros(2, 3, device="meta"),
        torch.tensor([[1.0] * 3] * 2, device="meta"),
        torch.ones(2, 3).to("meta"),
        torch.ones(2, 3, dtype=torch.float64).to("meta", torch.float32),
    ):
        assert made.is_meta
        assert not made.is_cpu
        assert made.device == torch.device("meta")
        assert made.shape == (2, 3)
        assert made.dtype == torch.float32
        assert made.data_ptr() == 0
        assert made.untyped_storage().nbytes() == 24
        assert repr(made) == "tensor(..., device='meta', size=(2, 3))"
    assert torch.arange(5, device="meta").dtype == torch.int64


def test_takes_no_memory_and_no_numbers():
    large = torch.empty(1 << 40, device="meta")  # 4 TiB
    assert (large + 1).numel() == 1 << 40
    before = torch.get_rng_state()
    torch.randn(7, device="meta")
    nn.functional.dropout(meta(7))
    meta(7).uniform_()
    assert torch.equal(before, torch.get_rng_state())


def test_default_device():
    with torch.device("meta"):
        assert torch.ones(2).is_meta
        assert torch.tensor(1.0).is_meta
        assert torch.as_tensor([1]).is_meta
        assert torch.get_default_device() == torch.device("meta")
        assert not torch.ones(2, device="cpu").is_meta
        assert not torch.zeros_like(torch.ones(2, device="cpu")).is_meta
        with torch.device("cpu"):
            assert not torch.ones(2).is_meta
        assert nn.Linear(2, 3).weight.is_meta
    assert not torch.ones(2).is_meta
    torch.set_default_device("meta")
    try:
        assert torch.ones(2).is_meta
    finally:
        torch.set_default_device(None)
    assert not torch.ones(2).is_meta
    with pytest.raises(ValueError, match="inside"), torch.device("meta"):
        raise ValueError("inside")
    assert not torch.ones(2).is_meta


def test_operations_give_types():
    x = meta(2, 3)
    assert (x + torch.tensor(1.0)).is_meta
    assert (x.bool() & x.bool()).dtype == torch.bool
    product = x @ meta(3, 4)
    assert product.is_meta
    assert product.shape == (2, 4)
    assert x.T.stride() == (1, 3)
    assert x.expand(4, 2, 3).stride() == (0, 3, 1)
    assert x.half().dtype == torch.float16
    assert torch.topk(x, 2).indices.dtype == torch.int64
    assert torch.linalg.qr(x)[0].shape == (2, 2)
    assert x[torch.tensor([0, 1, 1])].shape == (3, 3)
    assert torch.view_as_real(meta(2, dtype=torch.complex64)).shape == (2, 2)
    assert x.sum(0).mul_(2).shape == (3,)
    assert x.t()[0].untyped_storage().nbytes() == 24
    out = meta(0)
    torch.add(x, x, out=out)
    assert out.shape == (2, 3)
    assert out.is_meta


def test_gradients_are_meta():
    x = meta(2, 3).requires_grad_()
    nn.functional.layer_norm(x * x, (3,)).sum().backward()
    assert x.grad.is_meta
    assert x.grad.shape == (2, 3)


def test_same_inside_compiled_functions():
    @torch.compile
    def f(x, y):
        return (x * 2 + 1).sum(0), y * 2

    small, real = f(meta(2, 3), torch.ones(2))
    assert small.is_meta
    assert small.shape == (3,)
    assert real.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.to("cpu", torch.float64),
        lambda x: torch.ones(2, 3).copy_(x),
        lambda x: torch.save(x, io.BytesIO()),
        lambda x: x.__dlpack__(),
    ],
)
def test_reading_raises(read):
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        read(meta(2, 3))


def test_other_refusals():
    x = meta(2, 3)
    with pytest.raises(RuntimeError, match=r"Tensor\.item\(\) cannot be called on meta tensors"):
        x.sum().item()
    with pytest.raises(TypeError, match="can't convert meta device type tensor to numpy"):
        x.numpy()
    with pytest.raises(RuntimeError, match="on device cpu is not on the expected device meta"):
        x + torch.ones(2, 3)
    with pytest.raises(NotImplementedError, match="nonzero: the shape of its result depends"):
        x.nonzero()
    with pytest.raises(RuntimeError, match="'cuda' is not available"):
        torch.ones(2, device="cuda")
    model = nn.Linear(2, 3, device="meta")
    with pytest.raises(NotImplementedError, match=r"use torch\.nn\.Module\.to_empty\(\) instead"):
        model.to("cpu")


def test_copies_of_objects():
    x = nn.Parameter(meta(2, 3))
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert isinstance(twin, nn.Parameter)
        assert twin.is_meta
        assert twin.shape == (2, 3)


def test_modules_get_memory():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to("meta")
    assert all(value.is_meta for value in model.state_dict().values())
    source = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_state_dict(source.state_dict())
    assert model[0].weight.is_meta
    assert "is a no-op" in str(caught[0].message)
    model.load_state_dict(source.state_dict(), assign=True)
    assert isinstance(model[0].weight, nn.Parameter)
    assert model[0].weight.requires_grad
    assert torch.equal(model[0].weight, source[0].weight)
    x = torch.ones(4, 2)
    assert torch.equal(model(x), source(x))
    empty = nn.Linear(2, 3, device="meta").to_empty(device="cpu")
    assert not empty.weight.is_meta
    assert empty.weight.shape == (3, 2)


def test_load_to_meta(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.ones(2, 3), "n": [1, "x"]}, path)
    loaded = torch.load(path, map_location="meta")
    assert loaded["a"].is_meta
    assert loaded["a"].shape == (2, 3)
    assert loaded["n"] == [1, "x"]
