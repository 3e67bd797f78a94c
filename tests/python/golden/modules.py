"""nn.Module and the containers: registration, names, state, conversion, hooks, errors."""

from __future__ import annotations

import copy
import io
import pickle
from collections import OrderedDict
from typing import Any

import torch
from common import case, error_of, fill, kind_of, values
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.rest = nn.ModuleList([nn.Linear(3, 3), nn.Dropout(0.5), nn.Linear(3, 3)])
        self.shared = self.first
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.register_parameter("absent", None)
        self.register_buffer("no_buffer", None)
        self.fresh = nn.Buffer(torch.tensor([1, 2]))

    def forward(self, x: Any) -> Any:
        return self.rest[0](self.first(x)) * self.scale


class Extra(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1, 1)
        self.extra = {"a": 1}

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


@case
def names() -> Any:
    net = Net()
    return [
        repr(net),
        [n for n, _ in net.named_parameters()],
        [n for n, _ in net.named_parameters(prefix="p", recurse=False)],
        [n for n, _ in net.named_parameters(remove_duplicate=False)],
        [n for n, _ in net.named_buffers()],
        [n for n, _ in net.named_modules()],
        [n for n, _ in net.named_modules(prefix="x", remove_duplicate=False)],
        [n for n, _ in net.named_children()],
        len([*net.modules()]),
        len([*net.children()]),
        [*net.state_dict()],
        [*net.state_dict(prefix="model.")],
        dict(net.state_dict()._metadata),
        [n in dir(net) for n in ("first", "scale", "count", "rest", "forward", "0")],
        [n in dir(net.rest) for n in ("0", "append")],
        net.get_submodule("rest.0") is net.rest[0],
        net.get_submodule("") is net,
        net.get_parameter("rest.2.bias") is net.rest[2].bias,
        net.get_buffer("count") is net.count,
        error_of(lambda: net.get_submodule("rest.9")),
        error_of(lambda: net.get_submodule("rest.0.weight")),
        error_of(lambda: net.get_parameter("rest.0.nothing")),
        error_of(lambda: net.get_parameter("rest.0.training")),
        error_of(lambda: net.get_buffer("rest.0.weight")),
        error_of(lambda: net.set_submodule("", nn.ReLU())),
        net.set_submodule("rest.1", nn.ReLU()),
        repr(net.rest),
    ]


@case
def registration_errors() -> Any:
    net = Net()

    def before_init(kind: str) -> Any:
        class Early(nn.Module):
            def __init__(self) -> None:
                if kind == "parameter":
                    self.p = nn.Parameter(torch.ones(1))
                elif kind == "module":
                    self.m = net
                elif kind == "buffer":
                    self.register_buffer("b", torch.ones(1))
                else:
                    self.b = nn.Buffer(torch.ones(1))

        return error_of(Early)

    leaf = nn.Parameter(torch.ones(1))
    return [
        *(before_init(kind) for kind in ("parameter", "module", "buffer", "Buffer")),
        error_of(lambda: net.register_parameter("a.b", None)),
        error_of(lambda: net.register_parameter("", None)),
        error_of(lambda: net.register_parameter("forward", None)),
        error_of(lambda: net.register_parameter(3, None)),  # type: ignore[arg-type]
        error_of(lambda: net.register_parameter("p", torch.ones(1))),
        error_of(lambda: net.register_parameter("p", leaf * 2)),
        error_of(lambda: net.register_buffer("x", 1)),
        error_of(lambda: net.register_buffer("x.y", None)),
        error_of(lambda: net.register_buffer("first", None)),
        error_of(lambda: net.add_module("m", 3)),
        error_of(lambda: net.add_module("a.b", None)),
        error_of(lambda: net.add_module("", None)),
        error_of(lambda: net.add_module("scale", None)),
        error_of(lambda: setattr(net, "first", 3)),
        error_of(lambda: setattr(net, "scale", torch.ones(1))),
        error_of(lambda: setattr(net, "count", 3)),
        error_of(lambda: net.missing),
        error_of(lambda: delattr(net, "missing")),
        error_of(lambda: nn.Module()(1)),
        error_of(lambda: nn.Module(1)),
        error_of(lambda: nn.Module(a=1)),
        error_of(lambda: net.train("yes")),
        error_of(lambda: net.to(torch.int64)),
    ]


@case
def assignment() -> Any:
    net = Net()
    net.scale = None
    net.first = None
    net.count = None
    result: list[Any] = [[*net.state_dict()]]
    net.count = torch.ones(3)
    net.other = torch.ones(3)
    net.scale = nn.Parameter(torch.zeros(2))
    net.other = nn.Parameter(torch.zeros(2))
    net.count = nn.ReLU()
    net.scratch = nn.Parameter(torch.zeros(2))
    result.append([*net.state_dict()])
    result.append(sorted(net._non_persistent_buffers_set))
    del net.scale, net.count, net.rest
    result.append([*net.state_dict()])
    result.append([hasattr(net, "scale"), hasattr(net, "count")])
    return result


@case
def conversion() -> Any:
    net = fill(Net())
    weight, grad = net.first.weight, torch.ones(3, 2)
    weight.grad = grad
    pointer = weight.data_ptr()
    result: list[Any] = [net.to(torch.float32) is net, weight.data_ptr() == pointer]
    net.double()
    result += [net.first.weight is weight, weight.dtype, weight.grad.dtype, net.count.dtype, net.fresh.dtype, weight]
    net.half()
    result += [weight.dtype, net.count.dtype, net.fresh.dtype]
    net.to("cpu", torch.bfloat16)
    result += [weight.dtype, net.fresh.dtype]
    net.to(torch.ones(1))
    result += [weight.dtype]
    net.type(torch.float64)
    result += [net.fresh.dtype]
    net.float()
    net.requires_grad_(False)
    result += [[p.requires_grad for p in net.parameters()]]
    net.eval()
    result += [[m.training for m in net.modules()]]
    net.rest[1].train()
    result += [[m.training for m in net.modules()]]
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    result += [seen]
    linear = nn.Linear(2, 2)
    linear.weight.grad = torch.ones(2, 2)
    linear.zero_grad(set_to_none=False)
    result += [linear.weight.grad, linear.zero_grad(), linear.weight.grad]
    return result


@case
def loading() -> Any:
    net, other = fill(Net()), Net()
    result: list[Any] = [str(other.load_state_dict(net.state_dict())), other.rest[0].weight]
    state = net.state_dict()
    state["extra"] = state.pop("scale")
    state["first.bias"] = torch.zeros(4)
    state["rest.7.weight"] = torch.zeros(4)
    result.append(error_of(lambda: other.load_state_dict(state)))
    try:
        other.load_state_dict(state)
    except RuntimeError as error:
        result.append(str(error))
    del state["first.bias"], state["shared.bias"]
    keys = other.load_state_dict(state, strict=False)
    result += [keys.missing_keys, keys.unexpected_keys, repr(keys)]
    result.append(error_of(lambda: other.load_state_dict([1])))  # type: ignore[arg-type]
    small = nn.Linear(1, 1)
    try:
        small.load_state_dict({"weight": 3, "bias": torch.zeros(1)})
    except RuntimeError as error:
        result.append(str(error))
    small.load_state_dict({"weight": torch.ones(1, 1, dtype=torch.float64), "bias": torch.zeros(1)})
    result.append(small.weight)
    given = torch.ones(1, 1, dtype=torch.float64)
    small.weight.requires_grad_(False)
    small.load_state_dict({"weight": given, "bias": nn.Parameter(torch.zeros(1))}, assign=True)
    result += [small.weight, small.weight.data_ptr() == given.data_ptr(), small.weight.requires_grad, type(small.bias).__name__]
    extra, second = Extra(), Extra()
    extra.extra = {"b": 2}
    saved = extra.state_dict()
    result.append([*saved])
    second.load_state_dict(saved)
    result.append(second.extra)
    del saved["_extra_state"]
    result.append(error_of(lambda: second.load_state_dict(saved)))
    linear = nn.Linear(1, 1)
    result.append(linear.load_state_dict({**linear.state_dict(), "_extra_state": 1}, strict=False).unexpected_keys)
    old = nn.BatchNorm1d(2)
    values_of = {k: v for k, v in old.state_dict().items() if k != "num_batches_tracked"}
    result.append(str(old.load_state_dict(values_of)))
    result.append(net.first.state_dict(keep_vars=True)["weight"] is net.first.weight)
    result.append(net.first.state_dict()["weight"].requires_grad)
    scalar = nn.Module()
    scalar.p = nn.Parameter(torch.zeros(()))
    scalar.load_state_dict({"p": torch.ones(1)})
    result.append(scalar.p)
    return result


@case
def state_hooks() -> Any:
    net = nn.Sequential(nn.Linear(1, 1))
    log: list[Any] = []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(["pre", prefix, keep]))
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append(["pre", prefix, keep]))

    def rename(module: Any, state: Any, prefix: str, metadata: Any) -> None:
        log.append(["post", prefix, metadata])
        state[prefix + "renamed"] = state.pop(prefix + "weight")

    handle = net[0].register_state_dict_post_hook(rename)
    keys = [*net.state_dict()]
    handle.remove()

    def back(module: Any, state: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any) -> None:
        log.append(["load", type(module).__name__, prefix, strict])
        if prefix + "renamed" in state:
            state[prefix + "weight"] = state.pop(prefix + "renamed")

    net[0].register_load_state_dict_pre_hook(back)
    net.register_load_state_dict_post_hook(lambda m, found: log.append(["loaded", type(m).__name__, found.missing_keys, found.unexpected_keys]))
    net.load_state_dict({"0.renamed": torch.ones(1, 1), "0.bias": torch.zeros(1)})
    copied = copy.deepcopy(net)
    copied.load_state_dict({"0.renamed": torch.zeros(1, 1), "0.bias": torch.zeros(1)})
    net.register_load_state_dict_post_hook(lambda m, found: found.missing_keys.clear())
    missing = net.load_state_dict({"0.bias": torch.zeros(1)})
    bad = nn.Linear(1, 1)

    def replaces(*args: Any) -> Any:
        return {}

    bad.register_state_dict_post_hook(replaces)
    return [keys, log, net[0].weight, copied[0].weight, missing.missing_keys, error_of(bad.state_dict), kind_of(lambda: bad._register_state_dict_hook(replaces))]


@case
def forward_hooks() -> Any:
    net = fill(nn.Linear(2, 2))
    log: list[Any] = []
    x = values(1, 2)
    result: list[Any] = []
    handles = [
        net.register_forward_pre_hook(lambda m, args: args[0] * 2),
        net.register_forward_pre_hook(lambda m, args: log.append(["args", args]), prepend=True),
        net.register_forward_hook(lambda m, args, out: out + 1),
        net.register_forward_hook(lambda m, args, out: log.append(["out", out]), prepend=True),
    ]
    result.append(net(x))
    for handle in handles:
        handle.remove()
    result.append(net(x))
    with net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"input": kwargs["input"] * 3}), with_kwargs=True):
        result.append(net(input=x))
    with net.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True):
        result.append(error_of(lambda: net(x)))
    net.register_forward_hook(lambda m, args, kwargs, out: log.append(["kwargs", kwargs]), with_kwargs=True)
    result.append(net(input=x))
    broken = nn.Module()
    broken.register_forward_hook(lambda m, args, out: log.append(["always", args, out]), always_call=True)
    broken.register_forward_hook(lambda m, args, out: log.append("never"))
    result.append(error_of(lambda: broken(1)))
    with nn.modules.module.register_module_forward_hook(lambda m, args, out: log.append(["global", type(m).__name__])):
        nn.Sequential(nn.ReLU())(x)
    with nn.modules.module.register_module_forward_pre_hook(lambda m, args: log.append(["global pre", type(m).__name__])):
        nn.ReLU()(x)
    with nn.modules.module.register_module_parameter_registration_hook(lambda m, n, p: log.append(["param", n])):
        nn.Linear(1, 1)
    with nn.modules.module.register_module_module_registration_hook(lambda m, n, p: log.append(["module", n])):
        nn.Sequential(nn.ReLU())
    with nn.modules.module.register_module_buffer_registration_hook(lambda m, n, p: log.append(["buffer", n])):
        nn.BatchNorm1d(1)
    return [*result, *log]


@case
def copies() -> Any:
    net = fill(Net())
    twin = copy.deepcopy(net)
    result: list[Any] = [twin.first is twin.shared, twin.first.weight is not net.first.weight, twin.first.weight, type(twin.scale).__name__]
    again = pickle.loads(pickle.dumps(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    result += [repr(again), type(again[0].weight).__name__, again[0].weight.requires_grad, again(values(2, 2)).shape]
    buffer = io.BytesIO()
    pickle.dump(nn.GELU("tanh"), buffer)
    buffer.seek(0)
    result.append(repr(pickle.load(buffer)))
    p = nn.Parameter(torch.ones(2), requires_grad=False)
    p.note = "kept"
    q = copy.deepcopy(p)
    result += [q.requires_grad, q, repr(p), hasattr(q, "note"), isinstance(p, nn.Parameter), isinstance(torch.ones(1), nn.Parameter)]
    b = nn.Buffer(torch.ones(1), persistent=False)
    result += [isinstance(b, nn.Buffer), isinstance(torch.ones(1), nn.Buffer), b.persistent]
    shared = nn.Linear(2, 2).share_memory()
    result += [shared.weight.is_shared(), nn.Linear(2, 2).weight.is_shared()]
    return result


@case
def sequential() -> Any:
    s = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Identity())
    t = nn.Sequential(OrderedDict([("a", nn.ReLU()), ("b", nn.Tanh())]))
    result: list[Any] = [len(s), repr(s[-1]), repr(s[:2]), repr(t), repr(t[1:]), repr(t[0]), repr(s + t), repr(t * 2)]
    s[1] = nn.GELU()
    t[0] = nn.SiLU()
    result += [repr(s), repr(t)]
    del s[0]
    s.append(nn.Mish()).insert(0, nn.ELU()).extend(nn.Sequential(nn.CELU()))
    result += [repr(s), repr(s.pop(1)), repr(s)]
    del s[1:]
    s += nn.Sequential(nn.Tanh())
    s *= 2
    result += [repr(s), repr(2 * s), [type(m).__name__ for m in s]]
    return [
        *result,
        error_of(lambda: s[9]),
        error_of(lambda: s.insert(9, nn.ReLU())),
        error_of(lambda: s + 3),
        error_of(lambda: s * 0),
        error_of(lambda: s * "a"),
        error_of(lambda: nn.Sequential(3)),
        error_of(lambda: s.pop(-9)),
        kind_of(lambda: s.insert(0, 3)),
    ]


@case
def module_lists() -> Any:
    m = nn.ModuleList([nn.ReLU(), nn.Linear(1, 1)])
    m.append(nn.Tanh())
    m.extend([nn.GELU(), nn.GELU()])
    m.insert(1, nn.SiLU())
    result: list[Any] = [repr(m), repr(m[1:3]), repr(m[-1]), len(m), [*m.state_dict()], repr(m + [nn.ELU()])]
    m[0] = nn.CELU()
    del m[1]
    del m[-2:]
    m += [nn.Mish()]
    result += [repr(m), repr(m.pop(0)), repr(m), nn.Mish in [type(x) for x in m]]
    result += [repr(nn.ModuleList([nn.Linear(1, 1) for _ in range(3)] + [nn.ReLU()])), repr(nn.ModuleList())]
    return [*result, error_of(lambda: m[7]), error_of(lambda: m[1.5]), error_of(lambda: m.extend(3)), error_of(lambda: nn.ModuleList([3])), kind_of(lambda: m(1))]


@case
def module_dicts() -> Any:
    d = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    d.update([["c", nn.GELU()], ("d", nn.SiLU())])
    d["e"] = nn.ELU()
    result: list[Any] = [repr(d), [*d], [*d.keys()], [n for n, _ in d.items()], [type(v).__name__ for v in d.values()], len(d), "a" in d, "z" in d]
    result += [repr(d.pop("a"))]
    del d["b"]
    result += [repr(d)]
    d.update(nn.ModuleDict({"x": nn.ReLU()}))
    d.update(OrderedDict(z=nn.ReLU()))
    result += [[*d]]
    d.clear()
    return [*result, len(d), error_of(lambda: d["q"]), error_of(lambda: d.update(3)), error_of(lambda: d.update([3])), error_of(lambda: d.update([(1, 2, 3)])), error_of(lambda: d.update({"a": 3}))]


@case
def parameter_lists() -> Any:
    p = nn.ParameterList([torch.ones(2, 3), nn.Parameter(torch.ones(1)), 5])
    p.append(torch.zeros(2)).extend([torch.zeros(1)])
    p += [torch.ones(1)]
    p[0] = torch.zeros(3)
    result: list[Any] = [repr(p), repr(p[1:3]), len(p), [*p.state_dict()], [n for n, _ in p.named_parameters()], p[-1], "0" in dir(p)]
    return [*result, error_of(lambda: p[9]), error_of(lambda: p.extend(torch.ones(2))), error_of(lambda: p()), error_of(lambda: p.extend(3))]


@case
def parameter_dicts() -> Any:
    p = nn.ParameterDict({"b": torch.ones(2), "a": nn.Parameter(torch.ones(1)), "n": 5})
    p["z"] = torch.zeros(1)
    result: list[Any] = [repr(p), [*p], [*p.keys()], [k for k, _ in p.items()], [*p.values()], len(p), "a" in p, [*p.state_dict()], [*reversed(p)]]
    result += [p.pop("b"), p.get("q"), p.get("q", 3), p.setdefault("s", torch.ones(1)), p.popitem()[0], [*p]]
    other = nn.ParameterDict({"z": torch.ones(3), "y": torch.ones(1)})
    result += [[*(p | other)], repr(p | other), [*p.copy()], [*p.fromkeys(["k", "l"], torch.ones(1))]]
    p |= other
    result += [[*p]]
    p.clear()
    return [*result, len(p), error_of(lambda: p["q"]), error_of(lambda: p.update(3)), error_of(lambda: p.update([(1, 2, 3)])), kind_of(lambda: p.__setitem__(1, torch.ones(1))), error_of(lambda: p.__setitem__("keys", torch.ones(1)))]
