"""The class Tensor as a Python object, and the small classes around it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import flambeau
import pytest


class TestIdentity:
    def test_grad_is_one_object(self):
        x = flambeau.tensor([1.0, 2.0], requires_grad=True)
        (x * x).backward(flambeau.tensor([1.0, 1.0]))
        assert x.grad is x.grad
        x.grad.tag = "kept"
        gc.collect()
        assert x.grad.tag == "kept"

    def test_in_place_returns_self(self):
        x = flambeau.tensor([1.0])
        y = x
        assert x.add_(1) is x
        x += 1
        assert x is y
        assert flambeau.add(x, 1, out=x) is x

    def test_attributes_weak_references_and_hash(self):
        x = flambeau.tensor([1.0])
        x.name = "x"
        watch = weakref.ref(x)
        assert watch() is x
        assert hash(x) == hash(x)
        assert {x: 1}[x] == 1
        del x
        assert watch() is None

    def test_cycles_through_attributes_are_collected(self):
        x = flambeau.tensor([1.0])
        x.me = x
        watch = weakref.ref(x)
        del x
        gc.collect()
        assert watch() is None

    def test_subclass_survives_in_cpp(self):
        class Named(flambeau.Tensor):
            pass

        x = flambeau.tensor([2.0], requires_grad=True)
        gradient = flambeau.tensor([1.0]).as_subclass(Named)
        gradient.label = "g"
        x.grad = gradient
        del gradient
        gc.collect()
        assert type(x.grad) is Named
        assert x.grad.label == "g"

    def test_many_threads_count_references(self):
        x = flambeau.tensor([1.0, 2.0])
        failures = []

        def work():
            try:
                for _ in range(300):
                    y = x + x
                    assert y.tolist() == [2.0, 4.0]
            except BaseException as error:
                failures.append(error)

        before = sys.getrefcount(x)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert sys.getrefcount(x) == before


class TestAttributes:
    def test_geometry(self):
        x = flambeau.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        assert x.shape == x.size() == (2, 3)
        assert (x.size(0), x.size(-1), x.size(dim=1)) == (2, 3, 3)
        assert (x.stride(), x.stride(0)) == ((3, 1), 3)
        assert (x.ndim, x.dim(), x.numel(), x.nelement(), len(x)) == (2, 2, 6, 6, 2)
        assert (x.itemsize, x.element_size(), x.nbytes) == (4, 4, 24)
        assert (x.is_contiguous(), x.storage_offset()) == (True, 0)
        assert x.untyped_storage() is x.untyped_storage()
        assert x.untyped_storage().nbytes() == 24
        with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 2"):
            x.size(2)

    def test_kind(self):
        x = flambeau.tensor([1.0])
        assert x.device == flambeau.device("cpu")
        assert x.layout is flambeau.strided
        assert (x.is_floating_point(), x.is_complex(), x.is_cuda) == (True, False, False)
        assert x.type() == "torch.FloatTensor"

    def test_data_can_be_replaced(self):
        x = flambeau.tensor([1.0, 2.0], requires_grad=True)
        x.data = flambeau.tensor([3.0, 4.0, 5.0])
        assert x.tolist() == [3.0, 4.0, 5.0]
        assert x.is_leaf
        with pytest.raises(TypeError, match="has to be a tensor, but got list"):
            x.data = [1]
        with pytest.raises(RuntimeError, match="floating point"):
            x.data = flambeau.tensor([1])

    def test_grad_is_checked(self):
        x = flambeau.tensor([1.0, 2.0], requires_grad=True)
        with pytest.raises(RuntimeError, match=r"different size: got \[3\], expected \[2\]"):
            x.grad = flambeau.tensor([1.0, 2.0, 3.0])
        with pytest.raises(RuntimeError, match="different type: got float64, expected float32"):
            x.grad = flambeau.tensor([1.0, 2.0], dtype=flambeau.float64)
        with pytest.raises(TypeError, match="got grad of type int"):
            x.grad = 3
        x.grad = None
        assert x.grad is None

    def test_version(self):
        x = flambeau.tensor([1.0, 2.0])
        view = x[1:]
        view.add_(1)
        assert x._version == view._version == 1
        assert x.data._version == 0


class TestNumbers:
    def test_conversions(self):
        assert (int(flambeau.tensor(2.9)), float(flambeau.tensor([3]))) == (2, 3.0)
        assert [10, 20, 30][flambeau.tensor(1)] == 20
        assert bool(flambeau.tensor([0.5])) is True
        assert flambeau.tensor([[7]]).item() == 7
        assert flambeau.tensor([[1, 2]]).tolist() == [[1, 2]]
        assert type(flambeau.tensor(True).item()) is bool

    @pytest.mark.parametrize(
        ("use", "error", "text"),
        [
            (int, ValueError, "only one element tensors can be converted to Python scalars"),
            (bool, RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
            (lambda x: x.item(), RuntimeError, "a Tensor with 2 elements cannot be converted"),
            (lambda x: [1][x], TypeError, "only integer tensors of a single element"),
            (lambda x: len(x[0]), TypeError, "len() of a 0-d tensor"),
            (lambda x: list(x[0]), TypeError, "iteration over a 0-d tensor"),
        ],
    )
    def test_refusals(self, use, error, text):
        with pytest.raises(error) as raised:
            use(flambeau.tensor([1.0, 2.0]))
        assert text in str(raised.value)


class TestConstants:
    def test_dtypes(self):
        assert repr(flambeau.float32) == "torch.float32"
        assert flambeau.float is flambeau.float32
        assert (flambeau.bfloat16.itemsize, flambeau.bfloat16.is_floating_point) == (2, True)
        assert flambeau.uint8.is_signed is False
        assert flambeau.promote_types(flambeau.int32, flambeau.float16) is flambeau.float16
        assert not flambeau.can_cast(flambeau.float32, flambeau.int64)

    def test_devices(self):
        assert repr(flambeau.device("cuda:1")) == "device(type='cuda', index=1)"
        assert (str(flambeau.device("cpu")), flambeau.device("cpu", 0).index) == ("cpu", 0)
        assert flambeau.device("cpu") == flambeau.device("cpu")
        assert len({flambeau.device("cpu"), flambeau.device("cpu")}) == 1
        for text in ("foo", "cpu:", "cpu:x", "cpu:-1"):
            with pytest.raises(RuntimeError, match="device"):
                flambeau.device(text)

    def test_size(self):
        size = flambeau.Size([2, 3, 4])
        assert repr(size) == "torch.Size([2, 3, 4])"
        assert (size.numel(), size[0], size[-1]) == (24, 2, 4)
        for part in (size[1:], size + flambeau.Size([5]), size * 2):
            assert type(part) is flambeau.Size
        assert size == (2, 3, 4)
        with pytest.raises(TypeError, match="item 1 is 'float'"):
            flambeau.Size([1, 2.5])

    def test_limits(self):
        assert flambeau.iinfo(flambeau.int16).max == 32767
        assert flambeau.iinfo(flambeau.uint8).min == 0
        assert flambeau.finfo(flambeau.float32).eps == 2.0**-23
        assert flambeau.finfo(flambeau.bfloat16).max == 3.3895313892515355e38
        with pytest.raises(TypeError, match=r"Use torch\.finfo"):
            flambeau.iinfo(flambeau.float32)

    def test_default_dtype(self):
        try:
            flambeau.set_default_dtype(flambeau.float64)
            assert flambeau.tensor(1.5).dtype is flambeau.float64
            assert repr(flambeau.tensor([1.5])) == "tensor([1.5000])"
        finally:
            flambeau.set_default_dtype(flambeau.float32)
        with pytest.raises(TypeError, match="floating-point"):
            flambeau.set_default_dtype(flambeau.int32)


def test_import_loads_neither_numpy_nor_the_compiler():
    script = (
        "import sys, flambeau\n"
        "assert 'numpy' not in sys.modules\n"
        "assert 'flambeau_codegen' not in open('/proc/self/maps').read()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
