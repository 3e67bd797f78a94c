"""Grad modes, hooks and backward from Python; the random state; settings."""

from __future__ import annotations

import threading

import flambeau
import pytest
from flambeau import autograd


def leaf(*values):
    return flambeau.tensor(values, requires_grad=True)


class TestModes:
    def test_no_grad(self):
        x = leaf(1.0)
        with flambeau.no_grad():
            assert not flambeau.is_grad_enabled()
            assert not (x * 2).requires_grad
            with flambeau.enable_grad():
                assert (x * 2).requires_grad
        assert (x * 2).requires_grad

    def test_decorators(self):
        x = leaf(1.0)

        @flambeau.no_grad()
        def double():
            return x * 2

        @flambeau.no_grad
        def triple():
            return x * 3

        assert not double().requires_grad
        assert not triple().requires_grad
        assert flambeau.is_grad_enabled()

    def test_generators(self):
        @flambeau.no_grad()
        def modes():
            yield flambeau.is_grad_enabled()
            yield flambeau.is_grad_enabled()

        seen = []
        for mode in modes():
            seen += [mode, flambeau.is_grad_enabled()]
        assert seen == [False, True, False, True]

    def test_set_grad_enabled(self):
        with flambeau.set_grad_enabled(False):
            assert not flambeau.is_grad_enabled()
        flambeau.set_grad_enabled(False)
        assert not flambeau.is_grad_enabled()
        flambeau.set_grad_enabled(True)

    def test_inference_mode(self):
        x = leaf(1.0)
        with flambeau.inference_mode():
            y = x * 2
            assert not y.requires_grad
            assert flambeau.is_inference_mode_enabled()
        assert not flambeau.is_inference_mode_enabled()
        with flambeau.inference_mode(False):
            assert (x * 2).requires_grad

    def test_exceptions_restore(self):
        with pytest.raises(KeyError), flambeau.no_grad():
            raise KeyError
        assert flambeau.is_grad_enabled()

    def test_per_thread(self):
        seen = []
        with flambeau.no_grad():
            thread = threading.Thread(target=lambda: seen.append(flambeau.is_grad_enabled()))
            thread.start()
            thread.join()
        assert seen == [True]


class TestBackward:
    def test_backward(self):
        x = leaf(2.0, 3.0)
        (x * x).sum().backward()
        assert x.grad.tolist() == [4.0, 6.0]
        (x * x).backward(flambeau.tensor([1.0, 10.0]))
        assert x.grad.tolist() == [8.0, 66.0]

    def test_grad(self):
        x, y = leaf(2.0), leaf(3.0)
        a, b = autograd.grad(x * y, (x, y))
        assert (a.tolist(), b.tolist(), x.grad) == ([3.0], [2.0], None)
        assert autograd.grad(x * 2, (x, y), allow_unused=True)[1] is None
        zeros = autograd.grad(x * 2, (x, y), materialize_grads=True)[1]
        assert zeros.tolist() == [0.0]
        with pytest.raises(RuntimeError, match="appears to not have been used"):
            autograd.grad(x * 2, y)

    def test_second_derivative(self):
        x = leaf(2.0)
        (first,) = autograd.grad(x * x * x, x, create_graph=True)
        (second,) = autograd.grad(first, x)
        assert (first.tolist(), second.tolist()) == ([12.0], [12.0])

    def test_needs_a_scalar(self):
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar"):
            (leaf(1.0, 2.0) * 2).backward()

    def test_graph_is_freed(self):
        x = leaf(2.0)
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()

    def test_graph(self):
        x = leaf(2.0)
        y = (x * 2).exp()
        assert y.grad_fn.name() == "ExpBackward0"
        (mul, _), *_ = y.grad_fn.next_functions
        assert mul.name() == "MulBackward0"
        assert mul.next_functions[0][0].variable is x
        assert repr(mul).startswith("<MulBackward0 object at 0x")


class TestHooks:
    def test_tensor_hook(self):
        x = leaf(1.0)
        seen = []
        handle = x.register_hook(lambda gradient: seen.append(gradient.item()))
        (x * 3).backward()
        handle.remove()
        (x * 3).backward()
        assert seen == [3.0]

    def test_hook_replaces(self):
        x = leaf(1.0)
        x.register_hook(lambda gradient: gradient * 10)
        (x * 3).backward()
        assert x.grad.tolist() == [30.0]

    def test_hook_errors_reach_the_caller(self):
        x = leaf(1.0)

        def fail(gradient):
            raise KeyError("mine")

        x.register_hook(fail)
        with pytest.raises(KeyError, match="mine"):
            (x * 3).backward()

    def test_after_accumulation(self):
        x = leaf(1.0)
        seen = []
        x.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor is x))
        (x * 3).backward()
        assert seen == [True]

    def test_retain_grad(self):
        x = leaf(1.0)
        y = x * 2
        y.retain_grad()
        (y * 3).backward()
        assert y.grad.tolist() == [3.0]


class TestRandomState:
    def test_state(self):
        flambeau.manual_seed(7)
        assert flambeau.initial_seed() == 7
        state = flambeau.get_rng_state()
        assert (state.dtype, state.shape) == (flambeau.uint8, (5056,))
        flambeau.manual_seed(8)
        assert not (flambeau.get_rng_state() == state).all()
        flambeau.set_rng_state(state)
        assert (flambeau.get_rng_state() == state).all()

    def test_generator(self):
        generator = flambeau.Generator().manual_seed(3)
        assert generator.initial_seed() == 3
        assert flambeau.manual_seed(-1) is flambeau.default_generator
        assert flambeau.initial_seed() == 2**64 - 1
        with pytest.raises(TypeError, match="ByteTensor"):
            generator.set_state(flambeau.tensor([1.0]))


def test_threads():
    before = flambeau.get_num_threads()
    try:
        flambeau.set_num_threads(1)
        assert flambeau.get_num_threads() == 1
        with pytest.raises(RuntimeError, match="set_num_threads"):
            flambeau.set_num_threads(0)
    finally:
        flambeau.set_num_threads(before)
