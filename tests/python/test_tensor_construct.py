"""Tensors from Python values and other libraries' memory, pickled and copied."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import flambeau
import numpy as np
import pytest


class TestTensor:
    @pytest.mark.parametrize(
        ("data", "dtype", "shape"),
        [
            (3, "int64", ()),
            (2.5, "float32", ()),
            (True, "bool", ()),
            ([1, 2], "int64", (2,)),
            ([1, 2.5], "float32", (2,)),
            ([True, 2], "int64", (2,)),
            ([[True], [False]], "bool", (2, 1)),
            ([], "float32", (0,)),
            ([[], []], "float32", (2, 0)),
            ((1, (2)), "int64", (2,)),
            (range(3), "int64", (3,)),
            (np.float64(1.5), "float64", ()),
            (np.int32(4), "int32", ()),
            ([np.float32(1), np.float32(2)], "float32", (2,)),
            (np.arange(6, dtype=np.int16).reshape(2, 3), "int16", (2, 3)),
            ([np.zeros(2), np.ones(2)], "float64", (2, 2)),
            (np.array(2.5), "float64", ()),
            ([np.array(1, np.int32), np.array(2, np.int32)], "int32", (2,)),
        ],
    )
    def test_inference(self, data, dtype, shape):
        result = flambeau.tensor(data)
        assert (result.dtype.name, tuple(result.shape)) == (dtype, shape)
        np.testing.assert_array_equal(result.numpy(), np.asarray(data))

    def test_tensors_as_items(self):
        row = flambeau.tensor([1.0, 2.0])
        assert flambeau.tensor([row[0], row[1]]).tolist() == [1.0, 2.0]

    def test_copies(self):
        array = np.zeros(3, np.float32)
        result = flambeau.tensor(array)
        array[0] = 5
        assert result.tolist() == [0, 0, 0]

    def test_of_a_tensor_warns(self):
        with pytest.warns(UserWarning, match="clone"):
            assert flambeau.tensor(flambeau.tensor([1])).tolist() == [1]

    @pytest.mark.parametrize(
        ("data", "dtype", "error", "text"),
        [
            ([[1, 2], [3]], None, ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
            ("a", None, TypeError, "new(): invalid data type 'str'"),
            ([1, "a"], None, TypeError, "new(): invalid data type 'str'"),
            ([1, None], None, RuntimeError, "Could not infer dtype of NoneType"),
            (2**70, None, RuntimeError, "Overflow when unpacking long"),
            ([300], "uint8", RuntimeError, "cannot be converted to type uint8 without overflow"),
            ([1e10], "int32", RuntimeError, "cannot be converted to type int32 without overflow"),
        ],
    )
    def test_refusals(self, data, dtype, error, text):
        with pytest.raises(error) as raised:
            flambeau.tensor(data, dtype=dtype and getattr(flambeau, dtype))
        assert text in str(raised.value)

    def test_conversions_of_pytorch(self):
        assert flambeau.tensor([-1], dtype=flambeau.uint8).tolist() == [255]
        assert flambeau.tensor([1.7, -1.7], dtype=flambeau.int32).tolist() == [1, -1]
        assert flambeau.tensor([1e400], dtype=flambeau.float16).tolist() == [float("inf")]

    def test_requires_grad(self):
        assert flambeau.tensor([1.0], requires_grad=True).requires_grad
        with pytest.raises(RuntimeError, match="floating point"):
            flambeau.tensor([1], requires_grad=True)

    def test_unknown_device(self):
        with pytest.raises(RuntimeError, match="not available"):
            flambeau.tensor([1], device="cuda")

    def test_legacy_constructor(self):
        assert flambeau.Tensor(2, 3).shape == (2, 3)
        assert flambeau.Tensor([1, 2]).dtype is flambeau.float32
        assert flambeau.Tensor().shape == (0,)


class TestNumpy:
    @pytest.mark.parametrize(
        "dtype",
        ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
    )
    def test_round_trip_shares_memory(self, dtype):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        shared = flambeau.from_numpy(array)
        assert shared.dtype.name == dtype
        array[1, 2] = 1
        assert shared.tolist() == array.tolist()
        assert shared.data_ptr() == array.ctypes.data
        back = shared.numpy()
        assert back.dtype == array.dtype
        assert back.ctypes.data == array.ctypes.data

    def test_strides_and_zero_dimensions(self):
        array = np.arange(24.0).reshape(4, 6)[::2, 1::2].T
        shared = flambeau.from_numpy(array)
        assert shared.stride() == (2, 12)
        assert shared.tolist() == array.tolist()
        assert shared.numpy().strides == array.strides
        assert flambeau.from_numpy(np.array(2.5)).item() == 2.5
        assert flambeau.from_numpy(np.zeros((0, 3))).shape == (0, 3)
        assert flambeau.tensor(2.5).numpy().shape == ()

    def test_memory_lives_as_long_as_anyone_needs_it(self):
        array = np.ones(1000)
        watch = weakref.ref(array)
        shared = flambeau.from_numpy(array)
        del array
        gc.collect()
        assert watch() is not None
        assert shared.tolist() == [1.0] * 1000
        view = shared.numpy()
        del shared
        gc.collect()
        assert view.sum() == 1000
        del view
        gc.collect()
        assert watch() is None

    def test_read_only_arrays_are_not_written(self):
        array = np.zeros(3)
        array.flags.writeable = False
        shared = flambeau.from_numpy(array)
        with pytest.raises(RuntimeError, match="read-only"):
            shared.add_(1)
        assert not shared.numpy().flags.writeable

    def test_subclasses_are_arrays(self, tmp_path):
        np.arange(6, dtype=np.int32).tofile(tmp_path / "numbers")
        mapped = np.memmap(tmp_path / "numbers", np.int32, "r+")
        for make in (flambeau.from_numpy, flambeau.as_tensor, flambeau.asarray):
            shared = make(mapped)
            assert shared.dtype is flambeau.int32
            assert shared.data_ptr() == mapped.ctypes.data
        shared[0] = 7
        assert mapped[0] == 7
        copied = flambeau.tensor(mapped)
        assert copied.tolist() == mapped.tolist()
        assert copied.data_ptr() != mapped.ctypes.data
        part = flambeau.from_numpy(mapped[1:4].astype(np.int64))
        assert part.dtype is flambeau.int64
        assert part.tolist() == [1, 2, 3]
        assert flambeau.tensor([mapped[:2], mapped[4:]]).tolist() == [[7, 1], [4, 5]]
        assert flambeau.arange(9.0)[mapped[1:3]].tolist() == [1, 2]

    def test_read_only_mapped_arrays_are_not_written(self, tmp_path):
        class Named(np.memmap):
            pass

        np.arange(6, dtype=np.int32).tofile(tmp_path / "numbers")
        mapped = np.memmap(tmp_path / "numbers", np.int32, "r")
        for array in (mapped, mapped.view(Named)):
            for make in (flambeau.from_numpy, flambeau.as_tensor, flambeau.asarray):
                shared = make(array)
                assert shared.tolist() == [0, 1, 2, 3, 4, 5]
                with pytest.raises(RuntimeError, match="read-only"):
                    shared.add_(1)
            flambeau.tensor(array).add_(1)

    @pytest.mark.parametrize(
        ("array", "error", "text"),
        [
            ([1], TypeError, "expected np.ndarray (got list)"),
            (np.arange(3)[::-1], ValueError, "negative"),
            (np.array(["a"]), TypeError, "can't convert np.ndarray of type"),
            (
                np.array([1j], np.clongdouble),
                TypeError,
                "can't convert np.ndarray of type complex256",
            ),
            (np.array([1], ">i4"), ValueError, "byte order"),
        ],
    )
    def test_refusals(self, array, error, text):
        with pytest.raises(error) as raised:
            flambeau.from_numpy(array)
        assert text in str(raised.value)

    def test_tensors_that_numpy_cannot_have(self):
        with pytest.raises(RuntimeError, match="requires grad"):
            flambeau.tensor([1.0], requires_grad=True).numpy()
        assert flambeau.tensor([1.0], requires_grad=True).numpy(force=True).tolist() == [1.0]
        with flambeau.enable_grad(), pytest.raises(RuntimeError, match="requires grad"):
            np.asarray(flambeau.tensor([1.0], requires_grad=True))
        with pytest.raises(TypeError, match="bfloat16"):
            flambeau.tensor([1.0], dtype=flambeau.bfloat16).numpy()

    @pytest.mark.parametrize("mode", [flambeau.no_grad, flambeau.inference_mode])
    def test_where_no_gradients_are_made_numpy_takes_all_tensors(self, mode):
        x = flambeau.tensor([1.0, 4.0], requires_grad=True)
        with mode():
            x.numpy()[0] = 9.0  # the same memory
            np.testing.assert_array_equal(np.asarray(x), [9.0, 4.0])
            np.testing.assert_array_equal(np.stack([x, x.exp().log()])[0], [9.0, 4.0])
        assert x.requires_grad
        assert x.tolist() == [9.0, 4.0]

    def test_numpy_functions_take_tensors(self):
        x = flambeau.tensor([1.0, 4.0])
        np.testing.assert_array_equal(np.asarray(x), [1.0, 4.0])
        assert np.asarray(x).ctypes.data == x.data_ptr()


class TestBuffer:
    def test_of_a_tensor(self):
        x = flambeau.tensor([[1, 2], [3, 4]], dtype=flambeau.int32)
        view = memoryview(x)
        assert (view.format, view.shape, view.strides) == ("i", (2, 2), (8, 4))
        assert view.tolist() == [[1, 2], [3, 4]]
        view[0, 1] = 7
        assert x.tolist() == [[1, 7], [3, 4]]
        with pytest.raises(BufferError, match="requires grad"):
            memoryview(flambeau.tensor([1.0], requires_grad=True))

    def test_frombuffer(self):
        memory = bytearray(np.arange(4, dtype=np.int32).tobytes())
        x = flambeau.frombuffer(memory, dtype=flambeau.int32, offset=4, count=2)
        assert x.tolist() == [1, 2]
        memory[4] = 9
        assert x.tolist() == [9, 2]

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"offset": 16}, "offset (16 bytes)"),
            ({"offset": 1}, "must be a multiple of element size (4)"),
            ({"count": 5}, "must not be greater than actual buffer length (16 bytes)"),
            ({"count": 0}, "must not be 0"),
        ],
    )
    def test_frombuffer_refuses(self, arguments, text):
        with pytest.raises(ValueError) as raised:
            flambeau.frombuffer(bytearray(16), dtype=flambeau.int32, **arguments)
        assert text in str(raised.value)


class TestDlpack:
    def test_with_numpy(self):
        array = np.arange(6.0).reshape(2, 3)
        shared = flambeau.from_dlpack(array)
        array[0, 0] = 7
        assert shared.tolist() == [[7, 1, 2], [3, 4, 5]]
        back = np.from_dlpack(shared)
        assert back.ctypes.data == array.ctypes.data

    def test_keeps_memory_alive(self):
        capsule = flambeau.tensor([1.0, 2.0]).__dlpack__()
        gc.collect()
        shared = flambeau.from_dlpack(capsule)
        assert shared.tolist() == [1.0, 2.0]
        with pytest.raises(TypeError, match="has not been used yet"):
            flambeau.from_dlpack(capsule)

    def test_unused_capsule_frees_the_tensor(self):
        x = flambeau.tensor([1.0])
        watch = weakref.ref(x)
        capsule = x.__dlpack__()
        del x
        gc.collect()
        assert watch() is not None
        del capsule
        gc.collect()
        assert watch() is None

    def test_refuses_gradients(self):
        with pytest.raises(BufferError, match="require gradient"):
            flambeau.tensor([1.0], requires_grad=True).__dlpack__()


class TestPickle:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
    def test_round_trip(self, dtype):
        x = flambeau.tensor([[1, 0], [3, 4]], dtype=getattr(flambeau, dtype))
        y = pickle.loads(pickle.dumps(x))
        assert y.tolist() == x.tolist()
        assert (y.dtype, y.stride()) == (x.dtype, x.stride())
        assert y.data_ptr() != x.data_ptr()

    def test_views_share_memory_again(self):
        x = flambeau.tensor([1.0, 2.0, 3.0])
        a, b = pickle.loads(pickle.dumps((x, x[1:])))
        a[1] = 7
        assert b.tolist() == [7, 3]
        a, b = copy.deepcopy((x, x[1:]))
        a[1] = 7
        assert b.tolist() == [7, 3]
        assert x.tolist() == [1, 2, 3]

    def test_keeps_state(self):
        x = flambeau.tensor([1.0], requires_grad=True)
        x.tag = "weight"
        for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
            assert y.requires_grad
            assert y.tag == "weight"

    def test_deepcopy_refuses_results(self):
        x = flambeau.tensor([1.0], requires_grad=True)
        with pytest.raises(RuntimeError, match="graph leaves"):
            copy.deepcopy(x * 2)

    @pytest.mark.parametrize("name", ["float32", "bool", "strided", "contiguous_format"])
    def test_constants_stay_themselves(self, name):
        constant = getattr(flambeau, name)
        assert pickle.loads(pickle.dumps(constant)) is constant
        assert copy.deepcopy(constant) is constant

    def test_others(self):
        for value in (flambeau.device("cpu"), flambeau.Size([2, 3])):
            again = pickle.loads(pickle.dumps(value))
            assert again == value
            assert type(again) is type(value)
        assert pickle.loads(pickle.dumps(flambeau.exp)) is flambeau.exp
