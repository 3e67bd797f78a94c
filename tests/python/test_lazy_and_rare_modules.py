"""Modules that are rarely used, with PyTorch 2.7.1's numbers written beside them."""

from __future__ import annotations

import flambeau as torch
import flambeau.nn.functional as F
import pytest
from flambeau import nn

# PyTorch's: sums of values and of places; a loss; sums of weights and of biases.
PLANAR = 108.179, 4810
SPATIAL = 85.858, 23602
ADAPTIVE = 3.3985
ADAFACTOR = -1.088, 0.373


def sums(*tensors):
    return [tensor.double().sum().item() for tensor in tensors]


class TestCtc:
    def sample(self):
        torch.manual_seed(0)
        logits = torch.randn(12, 3, 6).requires_grad_()
        targets = torch.randint(1, 6, (3, 5))
        return logits, targets, torch.tensor([12, 9, 7]), torch.tensor([5, 3, 2])

    def test_values_and_gradients(self):
        logits, *rest = self.sample()
        losses = F.ctc_loss(F.log_softmax(logits, 2), *rest, reduction="none")
        assert losses.tolist() == pytest.approx([18.4739, 10.9399, 9.6156], abs=1e-3)
        (losses * torch.arange(1.0, 4)).sum().backward()
        wanted = [-0.0972, 0.0494, 0.1216, -0.7509, 0.365, 0.3121, -0.5894, 0.0456]
        assert logits.grad.flatten()[:8].tolist() == pytest.approx(wanted, abs=1e-4)
        assert nn.CTCLoss()(F.log_softmax(logits, 2), *rest).item() == pytest.approx(
            4.0497, abs=1e-3
        )

    def test_gradients_by_differences(self):
        logits, *rest = self.sample()
        logits = logits.detach().double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: F.ctc_loss(F.log_softmax(x, 2), *rest, reduction="sum", blank=3), (logits,)
        )

    def test_compiled(self):
        logits, *rest = self.sample()

        def step(x):
            x = x.detach().requires_grad_()
            loss = F.ctc_loss(F.log_softmax(x * 2, 2), *rest)
            loss.backward()
            return loss, x.grad

        for eager, compiled in zip(step(logits), torch.compile(step)(logits), strict=True):
            assert torch.equal(eager, compiled)

    def test_targets_in_one_row_and_no_batch(self):
        logits, targets, steps, labels = self.sample()
        log_probs = F.log_softmax(logits, 2)
        flat = torch.cat([row[:n] for row, n in zip(targets, labels.tolist())])
        whole = F.ctc_loss(log_probs, targets, steps, labels, reduction="none")
        assert torch.equal(F.ctc_loss(log_probs, flat, steps, labels, reduction="none"), whole)
        one = F.ctc_loss(log_probs[:, 0], targets[0], (12,), (5,), reduction="none")
        assert torch.equal(one, whole[0])

    def test_what_cannot_be(self):
        logits, targets, _, _ = self.sample()
        log_probs = F.log_softmax(logits, 2)
        short = (log_probs, targets, (3, 9, 7), (5, 3, 2))
        assert F.ctc_loss(*short, reduction="none").isinf().tolist() == [True, False, False]
        losses = F.ctc_loss(*short, reduction="none", zero_infinity=True)
        assert losses[0] == 0
        losses.sum().backward()
        assert logits.grad[:, 0].abs().max() == 0
        for arguments, text in (
            (((13, 9, 7), (5, 3, 2)), "Expected input_lengths to have value at most 12"),
            (((12, 9), (5, 3, 2)), "input_lengths must be of size batch_size"),
            (((12, 9, 7), (6, 3, 2)), "wanted"),
            (((12, 9, 7), (5, 3, 2), 6), "blank must be in label range"),
        ):
            with pytest.raises(RuntimeError, match=text):
                F.ctc_loss(log_probs, targets, *arguments)


class TestFold:
    def test_is_the_transpose_of_unfold(self):
        torch.manual_seed(0)
        image = torch.rand(2, 3, 7, 6, dtype=torch.float64)
        options = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": (1, 0), "stride": 2}
        columns = F.unfold(image, **options)
        other = torch.rand_like(columns).requires_grad_()
        folded = nn.Fold((7, 6), **options)(other)
        assert folded.shape == image.shape
        assert (folded * image).sum().item() == pytest.approx((columns * other).sum().item())
        (folded * image).sum().backward()
        assert torch.equal(other.grad, columns)
        assert torch.equal(F.fold(other[0], (7, 6), **options), folded[0])
        assert F.fold(columns[:0], (7, 6), **options).shape == (0, 3, 7, 6)

    def test_errors(self):
        with pytest.raises(RuntimeError, match="to be divisible by the product of kernel_size"):
            F.fold(torch.ones(1, 7, 4), 4, 2)
        with pytest.raises(RuntimeError, match="expected size of input's dimension 2 to match"):
            F.fold(torch.ones(1, 8, 5), 4, 2)


class TestFractionalMaxPool:
    def test_windows_are_pytorchs(self):
        torch.manual_seed(0)
        x = torch.rand(2, 3, 9, 9).requires_grad_()
        y, places = F.fractional_max_pool2d(x, 3, output_size=(4, 5), return_indices=True)
        assert sums(y, places) == pytest.approx(PLANAR, abs=1e-3)
        y.sum().backward()
        assert x.grad.sum() == y.numel()
        assert torch.equal(x.flatten(2).gather(2, places.flatten(2)).view(y.shape), y)
        torch.manual_seed(0)
        pool = nn.FractionalMaxPool3d(2, output_size=(3, 4, 2), return_indices=True)
        y, places = pool(torch.rand(2, 2, 8, 9, 7))
        assert sums(y, places) == pytest.approx(SPATIAL, abs=1e-3)

    def test_errors(self):
        with pytest.raises(RuntimeError, match="too large relative to input height"):
            F.fractional_max_pool2d(torch.ones(1, 2, 9, 9), 3, output_size=8)
        with pytest.raises(ValueError, match="either an output size, or a pooling ratio"):
            nn.FractionalMaxPool2d(3)


def test_adaptive_log_softmax():
    torch.manual_seed(0)
    module = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10, 15], div_value=2.0)
    x, target = torch.randn(8, 16), torch.randint(0, 20, (8,))
    output, loss = module(x, target)
    assert loss.item() == pytest.approx(ADAPTIVE, abs=1e-4)
    full = module.log_prob(x)
    assert torch.allclose(full.exp().sum(1), torch.ones(8))
    assert torch.allclose(full.gather(1, target.unsqueeze(1)).squeeze(1), output)
    assert torch.equal(module.predict(x), full.argmax(1))
    loss.backward()
    assert module.tail[1][0].weight.grad is not None
    one = module(x[0], target[0])
    assert torch.allclose(one.output, output[0])
    with pytest.raises(RuntimeError, match=r"Target values should be in \[0, 19\]"):
        module(x, target + 20)


LAZY = {
    nn.LazyLinear: ((4,), nn.Linear, (5, 4), (3, 5)),
    nn.LazyConv1d: ((4, 3), nn.Conv1d, (5, 4, 3), (2, 5, 8)),
    nn.LazyConv2d: ((4, 3), nn.Conv2d, (6, 4, 3), (2, 6, 8, 8)),
    nn.LazyConv3d: ((2, 2), nn.Conv3d, (3, 2, 2), (2, 3, 4, 4, 4)),
    nn.LazyConvTranspose1d: ((4, 3), nn.ConvTranspose1d, (5, 4, 3), (2, 5, 6)),
    nn.LazyConvTranspose2d: ((4, 3), nn.ConvTranspose2d, (5, 4, 3), (5, 6, 6)),
    nn.LazyConvTranspose3d: ((4, 3), nn.ConvTranspose3d, (5, 4, 3), (2, 5, 3, 3, 3)),
    nn.LazyBatchNorm1d: ((), nn.BatchNorm1d, (3,), (4, 3)),
    nn.LazyBatchNorm2d: ((), nn.BatchNorm2d, (3,), (2, 3, 4, 4)),
    nn.LazyBatchNorm3d: ((), nn.BatchNorm3d, (3,), (2, 3, 2, 2, 2)),
    nn.LazyInstanceNorm1d: (
        (),
        lambda n: nn.InstanceNorm1d(n, affine=True, track_running_stats=True),
        (3,),
        (2, 3, 6),
    ),
    nn.LazyInstanceNorm2d: (
        (),
        lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
        (3,),
        (2, 3, 4, 4),
    ),
    nn.LazyInstanceNorm3d: (
        (),
        lambda n: nn.InstanceNorm3d(n, affine=True, track_running_stats=True),
        (3,),
        (2, 3, 2, 2, 2),
    ),
}


@pytest.mark.parametrize("lazy", LAZY, ids=lambda cls: cls.__name__)
def test_lazy_modules_become_what_they_stand_for(lazy):
    arguments, plain, plain_arguments, shape = LAZY[lazy]
    module = lazy(*arguments)
    assert module.has_uninitialized_params()
    x = torch.rand(shape)
    torch.manual_seed(1)
    y = module(x)
    torch.manual_seed(1)
    wanted = plain(*plain_arguments)
    assert type(module) is type(wanted) and repr(module) == repr(wanted)
    assert torch.equal(y, wanted(x))
    assert list(module.state_dict()) == list(wanted.state_dict())
    # A state loads before the first input, too.
    fresh = lazy(*arguments)
    fresh.load_state_dict(wanted.state_dict())
    assert not fresh.has_uninitialized_params()


def test_lazy_modules_train():
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2))
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.ones(2, 3)).sum().backward()
    before = model[2].bias.detach().clone()
    optimiser.step()
    assert torch.allclose(model[2].bias, before - 0.2)
    with pytest.raises(RuntimeError, match=r"Expected 3D \(unbatched\) or 4D \(batched\) input"):
        nn.LazyConv2d(4, 3)(torch.ones(5, 5))


def test_adafactor():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    optimiser = torch.optim.Adafactor(model.parameters(), lr=0.05, weight_decay=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        model(torch.randn(7, 5)).square().sum().backward()
        optimiser.step()
    assert sums(model.weight, model.bias) == pytest.approx(ADAFACTOR, abs=1e-3)
    assert sorted(optimiser.state_dict()["state"][0]) == ["col_var", "row_var", "step"]


def test_sparse_adam_refuses_dense_gradients():
    model = nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
        torch.optim.SparseAdam(model.parameters()).step()


def test_local_response_norm_of_integers_averages_integers():
    x = torch.arange(1, 7).view(1, 6, 1)
    y = F.local_response_norm(x, 3, alpha=1.0, beta=1.0)
    # Means of squares, cut to integers: 5 / 3, 14 / 3, 29 / 3, 50 / 3, 77 / 3, 61 / 3.
    wanted = [1 / 2, 2 / 5, 3 / 10, 4 / 17, 5 / 26, 6 / 21]
    assert y.flatten().tolist() == pytest.approx(wanted)


def test_affine_grid():
    turn = torch.tensor([[[0.0, -1.0, 0.5], [1.0, 0.0, 0.0]]])
    grid = F.affine_grid(turn, (1, 3, 2, 3))
    assert grid.shape == (1, 2, 3, 2)
    assert grid[0, 0, 0].tolist() == pytest.approx([1.0, -2 / 3])
    ends = F.affine_grid(turn, (1, 3, 2, 3), align_corners=True)
    assert ends[0, 1, 2].tolist() == pytest.approx([-0.5, 1.0])
    same = torch.eye(3, 4).unsqueeze(0)
    image = torch.rand(1, 2, 3, 4, 5)
    places = F.affine_grid(same, image.shape, align_corners=False)
    assert torch.allclose(F.grid_sample(image, places, align_corners=False), image, atol=1e-5)
    with pytest.raises(ValueError, match="Expected a batch of 2D affine matrices of shape Nx2x3"):
        F.affine_grid(same, (1, 3, 2, 3))


def test_tensors_are_not_elsewhere():
    x = torch.ones(1)
    assert not (x.is_xla or x.is_mps or x.is_xpu or x.is_nested or x.is_distributed())
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        x.cuda()
