"""Names of PyTorch that libraries use around tensors: what is not there says so, the rest does what it says."""

from __future__ import annotations

import collections
import importlib
import inspect
import pkgutil
import subprocess
import sys
from typing import Any

import flambeau as torch
import flambeau.library
import flambeau.utils._pytree as pytree
import pytest


def test_what_is_missing_is_named() -> None:
    for path in ("nosuch", "nn.nosuch", "cuda.nosuch", "utils.nosuch", "library.nosuch"):
        *folders, name = path.split(".")
        holder: Any = torch
        for folder in folders:
            holder = getattr(holder, folder)
        assert not hasattr(holder, name)
        with pytest.raises(AttributeError, match=rf"^torch\.{path}: Flambeau has no such feature$"):
            getattr(holder, name)
    with pytest.raises(ModuleNotFoundError, match=r"flambeau\.nosuch"):
        importlib.import_module("flambeau.nosuch")
    with pytest.raises(NotImplementedError, match=r"^torch\.jit\.trace: Flambeau does not have"):
        torch.jit.trace(torch.relu, torch.ones(1))
    with pytest.raises(NotImplementedError, match=r"torch\.float8_e5m2: Flambeau has no tensors"):
        torch.zeros(2, dtype=torch.float8_e5m2)
    with pytest.raises(NotImplementedError, match=r"torch\.sparse_coo: Flambeau has no tensors"):
        torch.zeros(2, layout=torch.sparse_coo)


def test_submodules_load_when_they_are_named() -> None:
    code = (
        "import sys, flambeau\n"
        "loaded = {n for n in sys.modules if n.startswith('flambeau.')}\n"
        "assert not loaded & {'flambeau.nn', 'flambeau.cuda', 'flambeau.utils', 'flambeau.jit'}\n"
        "assert flambeau.utils.data.DataLoader and flambeau.cuda.amp.GradScaler\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices_that_are_not_there() -> None:
    for device in (torch.cuda, torch.xpu, torch.mps):
        assert not device.is_available()
        assert device.device_count() == 0
    assert torch.cuda.memory_allocated() == 0
    torch.cuda.manual_seed_all(1)
    torch.cuda.empty_cache()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.cuda.current_device()
    with pytest.raises(RuntimeError, match=r"torch\.cuda\.Stream: there is no such device"):
        torch.cuda.Stream()
    assert torch.accelerator.current_accelerator() is None
    assert not torch.distributed.is_available()
    assert not torch.backends.cudnn.is_available()
    with torch.backends.cudnn.flags(benchmark=True):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark
    assert torch.get_device_module("cpu") is torch.cpu
    with pytest.raises(RuntimeError, match="Device 'meta' does not have"):
        torch.get_device_module("meta")


def test_dtypes_by_name_only() -> None:
    kind = torch.float8_e4m3fn
    assert repr(kind) == "torch.float8_e4m3fn"
    assert (kind.itemsize, kind.is_floating_point, kind.is_signed, kind.is_complex) == (
        1,
        True,
        True,
        False,
    )
    assert (torch.finfo(kind).max, torch.finfo(kind).min, torch.finfo(kind).eps) == (
        448.0,
        -448.0,
        0.125,
    )
    assert torch.finfo(torch.float8_e8m0fnu).min == 2.0**-127
    assert torch.iinfo(torch.uint64).max == 2**64 - 1
    assert torch.uint16.itemsize == 2


def test_legacy_types() -> None:
    assert isinstance(torch.ones(2), torch.FloatTensor)
    assert not isinstance(torch.ones(2), torch.LongTensor)
    assert isinstance(torch.nn.Parameter(torch.ones(1)), torch.FloatTensor)
    assert torch.LongTensor([1, 2]).dtype is torch.int64
    assert torch.LongTensor(2, 3).shape == (2, 3)
    assert torch.typename(torch.ones(1)) == "torch.FloatTensor"
    assert torch.typename(3) == "int"


def test_versions_compare() -> None:
    version = torch.version.__version__
    assert version == "2.7.1"
    assert version >= (2, 6)
    assert version < "2.10.0"
    kind = type(version)
    assert kind("2.7.0rc1") < kind("2.7") < kind("2.7.0.post1") < kind("2.10")
    assert kind("2.7.1+cpu") == "2.7.1"


def test_script_functions_are_themselves() -> None:
    @torch.jit.script
    def double(x: Any) -> Any:
        return x * 2

    assert double(torch.ones(1)).item() == 2
    assert torch.jit.ignore(double) is torch.jit.ignore(drop=True)(double) is double
    assert not torch.jit.is_scripting()


def test_checks_and_symbolic_numbers() -> None:
    torch._check(True)
    with pytest.raises(RuntimeError, match="too few"):
        torch._check(1 > 2, lambda: "too few")
    with pytest.raises(ValueError, match="Expected cond to be True"):
        torch._check_value(False)
    with pytest.raises(TypeError, match="cond must be a bool"):
        torch._check(torch.ones(1))
    assert torch.sym_max(2, 3) == 3
    assert not isinstance(torch.ones(2).shape[0], torch.SymInt)


def test_settings_are_kept() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_deterministic_debug_mode() == 1
    torch.use_deterministic_algorithms(False)
    assert torch.get_deterministic_debug_mode() == 0
    with pytest.raises(RuntimeError, match="must be highest, high or medium"):
        torch.set_float32_matmul_precision("low")
    with pytest.raises(RuntimeError, match="'cuda' is not available"):
        torch.set_default_device("cuda")


def test_random_numbers_go_on_after_a_fork() -> None:
    torch.manual_seed(0)
    with torch.random.fork_rng():
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), inside)


# ---- trees ---------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


def test_trees_come_apart_and_together() -> None:
    tree = {
        "a": [1, (2, None)],
        "b": Point(3, collections.OrderedDict(c=4)),
        "d": collections.deque([5], maxlen=3),
        "e": collections.defaultdict(list, f=6),
    }
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, None, 3, 4, 5, 6]
    again = pytree.tree_unflatten(leaves, spec)
    assert again == tree
    assert (
        type(again["b"]) is Point and again["d"].maxlen == 3 and again["e"].default_factory is list
    )
    assert spec == pytree.tree_structure(again) and hash(spec) == hash(pytree.tree_structure(again))
    assert spec != pytree.tree_structure({"a": [1]})
    assert pytree.tree_map(lambda x, y: (x, y), [1, {"k": 2}], ["p", {"k": "q"}]) == [
        (1, "p"),
        {"k": (2, "q")},
    ]
    assert pytree.tree_map_only(int, lambda x: -x, [1, "a", (2,)]) == [-1, "a", (-2,)]
    assert pytree.tree_leaves([1, (2, 3)], is_leaf=lambda x: isinstance(x, tuple)) == [1, (2, 3)]
    assert pytree._broadcast_to_and_flatten([0, 1], pytree.tree_structure([(5, 6), 7])) == [0, 0, 1]
    with pytest.raises(ValueError, match="has length 1 but the spec"):
        pytree.tree_unflatten([1], spec)
    with pytest.raises(ValueError, match="Node arity mismatch"):
        pytree.tree_map(lambda x, y: x, [1, 2], [1])
    with pytest.raises(ValueError, match="Node keys mismatch"):
        pytree.tree_map(lambda x, y: x, {"a": 1}, {"b": 1})


def test_paths_of_trees() -> None:
    tree = {"a": [1, Point(2, 3)]}
    found = pytree.tree_leaves_with_path(tree)
    assert [(pytree.keystr(path), leaf) for path, leaf in found] == [
        ("['a'][0]", 1), ("['a'][1].x", 2), ("['a'][1].y", 3)
    ]  # fmt: skip
    assert found[2][0][1].get(tree["a"]) == Point(2, 3)
    mapped = pytree.tree_map_with_path(lambda path, leaf: len(path) * leaf, tree)
    assert mapped == {"a": [2, Point(6, 9)]}


def test_registered_trees() -> None:
    class Pair:
        def __init__(self, one: Any, two: Any) -> None:
            self.one, self.two = one, two

    pytree.register_pytree_node(
        Pair, lambda p: ([p.one, p.two], None), lambda v, _: Pair(*v), serialized_type_name="Pair"
    )
    doubled = pytree.tree_map(lambda x: 2 * x, [Pair(1, [2])])
    assert (doubled[0].one, doubled[0].two) == (2, [4])
    spec = pytree.tree_structure([Pair(1, {"a": 2})])
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec
    with pytest.raises(ValueError, match="already registered"):
        pytree.register_pytree_node(Pair, None, None)  # type: ignore[arg-type]


# ---- operations of libraries ---------------------------------------------------------------------


def test_custom_operation_with_a_gradient() -> None:
    calls = []

    def scale(x: Any, factor: float = 2.0) -> Any:
        calls.append(torch.is_grad_enabled())
        return x * factor

    operation = torch.library.custom_op(
        "tests::scale", scale, mutates_args=(), schema="(Tensor x, float factor=2.0) -> Tensor"
    )
    x = torch.ones(2, requires_grad=True)
    assert not operation(x).requires_grad

    def save(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.factor = inputs[1]

    torch.library.register_fake("tests::scale", lambda x, factor: torch.empty_like(x))
    torch.library.register_autograd(
        "tests::scale", lambda ctx, grad: (grad * ctx.factor, None), setup_context=save
    )
    torch.ops.tests.scale(x, factor=5.0).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert torch.ops.tests.scale.default(x).tolist() == [2.0, 2.0]
    assert calls == [False] * 3
    with pytest.raises(ValueError, match="'namespace::name'"):
        torch.library.custom_op("scale", scale, mutates_args=())
    with pytest.raises(RuntimeError, match="there is no operation 'tests::other'"):
        torch.library.register_fake("tests::other", scale)


def test_libraries_declare_and_implement() -> None:
    library = torch.library.Library("tests_declared", "DEF")
    library.define("twice(Tensor x, int[] sizes=[1, 2], *, str mode='a,b', bool on=True) -> Tensor")
    with pytest.raises(NotImplementedError, match="tests_declared::twice"):
        torch.ops.tests_declared.twice(torch.ones(1))
    library.impl("twice", lambda x: x * 2, "CPU")
    assert torch.ops.tests_declared.twice(torch.ones(1)).item() == 2
    signature = flambeau.library._definitions["tests_declared::twice"]._signature
    assert signature.parameters["sizes"].default == [1, 2]
    assert signature.parameters["mode"].default == "a,b"
    assert signature.parameters["on"].kind is inspect.Parameter.KEYWORD_ONLY


def test_aten_by_name() -> None:
    assert torch.ops.aten.add.Tensor(torch.ones(1), 2).item() == 3
    assert torch.ops.aten.relu(torch.tensor(-1.0)).item() == 0
    with pytest.raises(
        AttributeError, match=r"torch\.ops\.aten\.nosuch: there is no such operation"
    ):
        torch.ops.aten.nosuch(1)


# ---- mixed precision -----------------------------------------------------------------------------


def test_a_region_that_is_off_changes_nothing() -> None:
    with torch.autocast("cpu", enabled=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    with pytest.warns(UserWarning, match="CUDA is not available"), torch.autocast("cuda"):
        assert not torch.is_autocast_enabled()


def test_scaled_steps() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    scaler.scale(weight * 3).backward()
    assert weight.grad.item() == 24
    scaler.step(optimizer)
    scaler.update()
    assert weight.item() == -2
    assert scaler.get_scale() == 16
    optimizer.zero_grad()
    scaler.scale(weight * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert weight.item() == -2
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8
    assert not torch.cuda.amp.GradScaler().is_enabled()


def test_constraints() -> None:
    constraints = torch.distributions.constraints
    assert constraints.positive.check(torch.tensor([1.0, -1.0])).tolist() == [True, False]
    assert constraints.simplex.check(torch.tensor([[0.5, 0.5], [0.5, 0.6]])).tolist() == [
        True,
        False,
    ]
    assert constraints.positive_definite.check(torch.eye(2)).item()
    assert not constraints.positive_definite.check(-torch.eye(2)).item()
    assert constraints.real_vector.check(torch.tensor([[1.0, float("nan")]])).tolist() == [False]
    assert constraints.real_vector.event_dim == 1


def test_a_cycle_of_profiled_steps() -> None:
    action = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1, skip_first=1)
    names = [action(step).name for step in range(6)]
    assert names == ["NONE", "NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE", "NONE"]
    with torch.profiler.record_function("block"):
        assert torch.ones(1).item() == 1
    assert not torch.profiler.kineto_available()
    assert not torch.autograd._profiler_enabled()
    assert torch.autograd.profiler.record_function is torch.profiler.record_function
    assert issubclass(torch.autograd.profiler.EventList, list)
    for old in ("profile", "emit_nvtx"):
        with pytest.raises(NotImplementedError, match=rf"torch\.autograd\.profiler\.{old}:"):
            getattr(torch.autograd.profiler, old)()
    with pytest.raises(NotImplementedError, match=r"torch\.profiler\.profile"):
        torch.profiler.profile()


def test_computed_tensors_keep_their_gradient() -> None:
    leaf = torch.ones(1, requires_grad=True)
    computed = leaf * 2
    assert computed.requires_grad_() is computed
    assert computed.requires_grad_(True).grad_fn is not None
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf variables"):
        computed.requires_grad = True
    with pytest.raises(RuntimeError, match=r"use var_no_grad = var\.detach"):
        computed.requires_grad_(False)


def test_every_package_names_what_it_lacks() -> None:
    packages = [torch, torch._C, torch.linalg, torch.special, torch.fft]
    for found in pkgutil.walk_packages(torch.__path__, torch.__name__ + "."):
        if found.ispkg and "._script" not in found.name:
            packages.append(importlib.import_module(found.name))  # noqa: PERF401
    assert len(packages) > 20
    for package in packages:
        name = package.__name__.replace("flambeau", "torch", 1)
        with pytest.raises(AttributeError, match=rf"^{name}\.no_such_name: Flambeau has no such"):
            package.no_such_name  # noqa: B018
        assert not hasattr(package, "__no_such_name__")


def test_memory_of_given_strides() -> None:
    made = torch.empty_strided((2, 3), (1, 2), dtype=torch.float64, requires_grad=True)
    assert (made.shape, made.stride(), made.dtype, made.requires_grad) == ((2, 3), (1, 2), torch.float64, True)  # fmt: skip
    assert made._base is None
    assert made.untyped_storage().nbytes() == 48
    assert torch.empty_strided((2, 0), (1, 2)).shape == (2, 0)
    assert torch.empty_strided((), ()).dim() == 0
    assert torch.empty_strided((2, 3), (1, 2), device="meta").stride() == (1, 2)
    with pytest.raises(RuntimeError, match="different lengths, 1 and 2"):
        torch.empty_strided((1,), (1, 2))
    assert not torch.detach(torch.ones(1, requires_grad=True)).requires_grad


def test_sparse_tensors_are_refused_by_name() -> None:
    for name in ("sparse_coo_tensor", "sparse_csr_tensor", "sparse.mm", "sparse.sum"):
        *folders, last = name.split(".")
        holder = getattr(torch, folders[0]) if folders else torch
        with pytest.raises(NotImplementedError, match=rf"^torch\.{name}: Flambeau does not have"):
            getattr(holder, last)(torch.ones(1))
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert not isinstance(torch.ones(1).untyped_storage(), torch.TypedStorage)
    assert torch.storage.UntypedStorage is torch.UntypedStorage


def test_what_libraries_take_from_inside() -> None:
    parsed = torch._C._nn._parse_to("cpu", torch.float16, non_blocking=True)
    assert parsed[:3] == (torch.device("cpu"), torch.float16, True)
    assert torch._C._get_accelerator().type == "cpu"
    x = torch.randn(3, 4, requires_grad=True)
    y, g = x.softmax(1), torch.randn(3, 4)
    (wanted,) = torch.autograd.grad(y, x, g)
    found = torch._softmax_backward_data(g, y, 1, torch.float32)
    torch.testing.assert_close(found, wanted)
    with torch._tensor_str.printoptions(precision=1):
        assert repr(torch.tensor(1.25)) == "tensor(1.2)"
    assert repr(torch.tensor(1.25)) == "tensor(1.2500)"
