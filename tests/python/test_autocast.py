"""Mixed precision on the CPU: which dtype results have (PyTorch 2.7.1's), gradients, compiling, the cache, scaling."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Callable

import flambeau as torch
import flambeau.nn.functional as F
import pytest

pytestmark = pytest.mark.supports

BF16, F32, F64 = torch.bfloat16, torch.float32, torch.float64


def ones(*shape: int, dtype: Any = F32) -> torch.Tensor:
    return torch.ones(shape, dtype=dtype) / 2


# The dtype that PyTorch 2.7.1 gives for float32 and for bfloat16 tensors.
RESULTS: dict[str, tuple[Callable[[Callable[..., Any]], Any], Any, Any]] = {
    "matmul": (lambda t: t(2, 3) @ t(3, 2), BF16, BF16),
    "mm": (lambda t: torch.mm(t(2, 3), t(3, 2)), BF16, BF16),
    "bmm": (lambda t: torch.bmm(t(2, 2, 3), t(2, 3, 2)), BF16, BF16),
    "addmm": (lambda t: torch.addmm(t(2), t(2, 3), t(3, 2)), BF16, BF16),
    "baddbmm": (lambda t: torch.baddbmm(t(2), t(2, 2, 3), t(2, 3, 2)), BF16, BF16),
    "mv": (lambda t: torch.mv(t(2, 3), t(3)), F32, BF16),
    "dot": (lambda t: torch.dot(t(3), t(3)), F32, BF16),
    "linear": (lambda t: F.linear(t(2, 3), t(4, 3), t(4)), BF16, BF16),
    "conv2d": (lambda t: F.conv2d(t(1, 2, 4, 4), t(3, 2, 2, 2)), BF16, BF16),
    "conv_transpose1d": (lambda t: F.conv_transpose1d(t(1, 2, 4), t(2, 3, 2)), BF16, BF16),
    "attention": (lambda t: F.scaled_dot_product_attention(t(1, 2, 4, 8), t(1, 2, 4, 8), t(1, 2, 4, 8)), BF16, BF16),
    "prelu": (lambda t: F.prelu(t(2, 3), t(1)), BF16, BF16),
    "einsum": (lambda t: torch.einsum("ij,jk->ik", t(2, 3), t(3, 2)), BF16, BF16),
    "vecdot": (lambda t: torch.linalg.vecdot(t(2, 3), t(2, 3)), BF16, BF16),
    "softmax": (lambda t: F.softmax(t(2, 3), -1), F32, BF16),
    "layer_norm": (lambda t: F.layer_norm(t(2, 3), (3,)), F32, BF16),
    "sum": (lambda t: t(2, 3).sum(), F32, BF16),
    "gelu": (lambda t: F.gelu(t(2, 3)), F32, BF16),
    "add": (lambda t: t(2, 3) + t(3), F32, BF16),
    "cross_entropy": (lambda t: F.cross_entropy(t(2, 3), torch.tensor([0, 1])), F32, F32),
    "mse_loss": (lambda t: F.mse_loss(t(2, 3), t(2, 3)), F32, F32),
    "binary_cross_entropy": (lambda t: F.binary_cross_entropy(t(2), t(2)), F32, F32),
    "gaussian_nll_loss": (lambda t: F.gaussian_nll_loss(t(2), t(2), t(2)), F32, BF16),
    "prod": (lambda t: t(3).prod(), F32, F32),
    "cdist": (lambda t: torch.cdist(t(2, 3), t(2, 3)), F32, F32),
    "trace": (lambda t: torch.trace(t(2, 2)), F32, F32),
    "quantile": (lambda t: torch.quantile(t(3), 0.5), F32, F32),
    "inv": (lambda t: torch.linalg.inv(t(2, 2) + torch.eye(2)), F32, F32),
    "avg_pool2d": (lambda t: F.avg_pool2d(t(1, 1, 4, 4), 2), F32, BF16),
    "avg_pool3d": (lambda t: F.avg_pool3d(t(1, 1, 4, 4, 4), 2), F32, F32),
    "cat": (lambda t: torch.cat([t(2), t(2)]), F32, BF16),
    "stack": (lambda t: torch.stack([t(2), t(2)]), F32, BF16),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_dtypes_of_results(name: str) -> None:
    call, of_float32, of_bfloat16 = RESULTS[name]
    with torch.autocast("cpu", dtype=BF16):
        assert call(ones).dtype is of_float32
        assert call(lambda *shape: ones(*shape, dtype=BF16)).dtype is of_bfloat16
        assert call(lambda *shape: ones(*shape, dtype=F64)).dtype is F64
        with torch.autocast("cpu", enabled=False):
            assert call(ones).dtype is F32
    assert call(ones).dtype is F32


def test_mixed_tensors_are_promoted() -> None:
    with torch.autocast("cpu"):
        assert torch.cat([ones(2), ones(2, dtype=BF16)]).dtype is F32
        assert torch.stack([ones(2, dtype=BF16), ones(2)]).dtype is F32
        assert (ones(2, 2) @ ones(2, 2, dtype=BF16)).dtype is BF16
    with torch.autocast("cpu", dtype=torch.float16):
        assert (ones(2, 2) @ ones(2, 2)).dtype is torch.float16
    # Forms that write tensors stay what they are.
    with torch.autocast("cpu"):
        assert ones(2, 2).addmm_(ones(2, 2), ones(2, 2)).dtype is F32


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.LayerNorm(16), torch.nn.Linear(16, 4)
    )


def step(net: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=BF16):
        loss = F.cross_entropy(net(x), y)
    loss.backward()
    return loss


def test_compiled_steps_have_the_bits_of_eager_ones() -> None:
    eager, compiled = model(), model()
    run = torch.compile(step)
    torch.manual_seed(1)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (eager, compiled)]
    for _ in range(4):
        x, y = torch.randn(5, 8), torch.randint(0, 4, (5,))
        losses = step(eager, x, y), run(compiled, x, y)
        assert losses[0].dtype is F32 and losses[0].item() == losses[1].item()
        for ours, theirs in zip(eager.parameters(), compiled.parameters()):
            assert ours.grad.dtype is F32 and torch.equal(ours.grad, theirs.grad)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def test_gradients_are_those_of_the_conversions_written_out() -> None:
    weight = torch.nn.Parameter(torch.randn(3, 4))
    x = torch.randn(2, 4)
    with torch.autocast("cpu"):
        F.linear(x, weight).float().square().sum().backward()
    other = weight.detach().clone().requires_grad_()
    F.linear(x.bfloat16(), other.bfloat16()).float().square().sum().backward()
    assert weight.grad is not None and other.grad is not None
    assert torch.equal(weight.grad, other.grad)


def test_a_parameter_is_converted_once_a_region() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    x = torch.ones(2, 2, dtype=BF16)
    with torch.autocast("cpu"):
        saved = [(x @ weight).grad_fn.next_functions for _ in range(2)]  # type: ignore[union-attr]
        assert saved[0] == saved[1]
        with torch.no_grad():
            first = x @ weight
            weight.mul_(2)  # what was kept is out of date
            assert torch.equal(x @ weight, first * 2)
    with torch.autocast("cpu", cache_enabled=False):
        assert not torch.is_autocast_cache_enabled()
        saved = [(x @ weight).grad_fn.next_functions for _ in range(2)]  # type: ignore[union-attr]
        assert saved[0] != saved[1]


def test_regions_in_each_other_have_their_own_conversions() -> None:
    weight = torch.nn.Parameter(ones(3, 3))
    with torch.autocast("cpu", dtype=BF16):
        assert (ones(2, 3) @ weight).dtype == BF16
        with torch.autocast("cpu", dtype=torch.float16):
            assert (ones(2, 3) @ weight).dtype == torch.float16
        assert (ones(2, 3) @ weight).dtype == BF16


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_run_again_as_they_ran(reentrant: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 4)
    x = torch.randn(3, 4, requires_grad=True)

    def gradients(run: Callable[..., Any]) -> list[torch.Tensor]:
        with torch.autocast("cpu", dtype=BF16):
            loss = run(lambda x: layer(x).tanh(), x).float().pow(2).sum()
        loss.backward()  # outside of the region
        found = [x.grad, layer.weight.grad, layer.bias.grad]
        x.grad = layer.weight.grad = layer.bias.grad = None
        return found

    again = gradients(lambda f, x: torch.utils.checkpoint.checkpoint(f, x, use_reentrant=reentrant))
    for a, b in zip(again, gradients(lambda f, x: f(x))):
        assert torch.equal(a, b)


def test_what_is_set_can_be_asked_for() -> None:
    assert not torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled()
    assert (
        torch.get_autocast_dtype("cpu") is BF16
        and torch.get_autocast_dtype("cuda") is torch.float16
    )
    with torch.amp.autocast("cpu", dtype=torch.float16):
        assert torch.is_autocast_enabled("cpu") and torch.is_autocast_cpu_enabled()
        assert torch.get_autocast_cpu_dtype() is torch.float16
    assert torch.get_autocast_cpu_dtype() is BF16

    @torch.autocast("cpu")
    def product(x: torch.Tensor) -> torch.Tensor:
        assert torch.is_autocast_enabled("cpu")
        return x @ x

    assert product(ones(2, 2)).dtype is BF16
    with (
        pytest.warns(UserWarning, match="target dtype is not supported"),
        torch.autocast("cpu", dtype=F32),
    ):
        assert (ones(2, 2) @ ones(2, 2)).dtype is F32
    with pytest.warns(UserWarning, match="CUDA is not available"), torch.autocast("cuda"):
        assert (ones(2, 2) @ ones(2, 2)).dtype is F32
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'abacus'"):
        torch.autocast("abacus")


class Product(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        assert torch.is_autocast_enabled("cpu")
        a, b = ctx.saved_tensors
        return grad @ b.T, a.T @ grad


class InFloat32(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=F32)
    def forward(ctx: Any, a: torch.Tensor) -> torch.Tensor:
        assert not torch.is_autocast_enabled("cpu")
        return a @ a

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad


def test_functions_of_the_user() -> None:
    a = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu"):
        assert Product.apply(a, a).dtype is BF16
        assert InFloat32.apply(a.bfloat16()).dtype is F32
        result = Product.apply(a, a)
    result.float().sum().backward()
    assert a.grad is not None and a.grad.dtype is F32


def test_scaled_losses_leave_out_steps_that_are_not_finite() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    scaler.scale(weight.sum()).backward()
    assert weight.grad is not None and weight.grad.tolist() == [4.0, 4.0]
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0.0, 0.0] and scaler.get_scale() == 8.0
    weight.grad = torch.full((2,), float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0.0, 0.0] and scaler.get_scale() == 4.0
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(copy.deepcopy(scaler.state_dict()))
    assert other.get_scale() == 4.0


def test_replayed_calls_heed_the_region() -> None:
    f = torch.compile(lambda x, w: x @ w, replay=True)
    x, w = torch.randn(3, 3), torch.nn.Parameter(torch.randn(3, 3))
    with torch.no_grad(), warnings.catch_warnings():
        for _ in range(3):
            with torch.autocast("cpu"):
                assert torch.equal(f(x, w), x @ w) and f(x, w).dtype is BF16
            assert torch.equal(f(x, w), x @ w) and f(x, w).dtype is F32
