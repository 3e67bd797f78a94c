"""Hooks of Module: forward, legacy backward, of all modules; their order, what they may change."""

nn = torch.nn
module_file = nn.modules.module


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x, offset=0.0):
        return x * self.factor + offset


@case
def legacy_backward_hook():
    log = []
    net = Scale(3)
    net.register_backward_hook(lambda m, gi, go: log.append((m is net, gi[0], go)))
    x = leaf(1.0)
    net(x).backward()
    attempt("mixed with a full one", lambda: net.register_full_backward_hook(lambda *_: None))
    other = Scale(3)
    other.register_full_backward_hook(lambda *_: None)
    attempt("a full one before", lambda: other.register_backward_hook(lambda *_: None))
    return log, x.grad


@case
def forward_hooks():
    log = []
    net = Scale(3)
    net.register_forward_pre_hook(lambda m, args: (log.append(("pre", args)), (args[0] + 1,))[1])
    net.register_forward_pre_hook(lambda m, args: (log.append(("pre2", args)), args[0] + 1)[1])
    net.register_forward_hook(lambda m, args, out: (log.append(("post", args, out)), out * 2)[1])
    net.register_forward_hook(lambda m, args, out: log.append(("post2", args, out)))
    return net(torch.ones(1)), log


@case
def forward_hooks_with_kwargs():
    log = []
    net = Scale(3)

    def pre(m, args, kwargs):
        log.append(("pre", args, dict(kwargs)))
        return args, {"offset": kwargs["offset"] * 2}

    net.register_forward_pre_hook(pre, with_kwargs=True)
    net.register_forward_hook(
        lambda m, args, kwargs, out: log.append(("post", args, dict(kwargs), out)), with_kwargs=True
    )
    y = net(torch.ones(1), offset=5.0)

    net = Scale(3)
    net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    attempt("a pre hook that forgets kwargs", lambda: net(torch.ones(1)))
    return y, log


@case
def order_of_forward_hooks():
    log = []
    net = Scale(3)
    net.register_forward_hook(lambda *_: log.append("b"))
    net.register_forward_hook(lambda *_: log.append("a"), prepend=True)
    net.register_forward_pre_hook(lambda *_: log.append("q"))
    net.register_forward_pre_hook(lambda *_: log.append("p"), prepend=True)
    net.register_forward_hook(lambda *_: log.append("k"), with_kwargs=True)
    net(torch.ones(1))
    return log


@case
def always_call():
    log = []

    class Fails(nn.Module):
        def forward(self, x, fail=True):
            if fail:
                raise ValueError("no")
            return x

    net = Fails()
    net.register_forward_hook(lambda m, a, out: log.append(("plain", out)))
    net.register_forward_hook(lambda m, a, out: log.append(("always", out)), always_call=True)
    net.register_forward_hook(
        lambda m, a, k, out: log.append(("kwargs", dict(k), out)),
        always_call=True,
        with_kwargs=True,
    )
    attempt("forward fails", lambda: net(torch.ones(1), fail=True))
    attempt("forward works", lambda: net(torch.ones(1), fail=False))
    return log


@case
def always_call_when_a_hook_fails():
    log = []
    net = Scale(1)
    net.register_forward_hook(lambda m, a, out: log.append("first"), always_call=True)
    net.register_forward_hook(lambda m, a, out: 1 // 0)
    net.register_forward_hook(lambda m, a, out: log.append("last"), always_call=True)
    attempt("a hook fails", lambda: net(torch.ones(1)))
    return log


@case
def always_call_hook_that_fails():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    net = Fails()
    net.register_forward_hook(lambda m, a, out: 1 // 0, always_call=True)
    return net(torch.ones(1))


@case
def hooks_removed_by_hooks():
    log = []
    net = Scale(1)
    handle = net.register_forward_hook(lambda *_: (log.append("once"), handle.remove())[0])
    net.register_forward_hook(lambda *_: log.append("second"))
    net(torch.ones(1))
    net(torch.ones(1))
    return log


@case
def hooks_of_all_modules():
    log = []
    net = nn.Sequential(Scale(2), Scale(3))
    handles = [
        module_file.register_module_forward_pre_hook(lambda m, a: log.append(("pre", len(a)))),
        module_file.register_module_forward_hook(lambda m, a, out: log.append(("post", out))),
        module_file.register_module_full_backward_hook(lambda m, gi, go: log.append((gi, go))),
        module_file.register_module_full_backward_pre_hook(lambda m, go: log.append(("bpre", go))),
    ]
    net[0].register_forward_hook(lambda m, a, out: log.append("own"))
    x = leaf(1.0)
    net(x).backward()
    for handle in handles:
        handle.remove()
    count = len(log)
    net(x).backward()
    return log, len(log) - count


@case
def hook_of_all_modules_changes_result():
    handle = module_file.register_module_forward_hook(lambda m, a, out: out + 1)
    y = nn.Sequential(Scale(2), Scale(3))(torch.ones(1))
    handle.remove()
    handle = module_file.register_module_forward_hook(
        lambda m, a, out: None, with_kwargs=False, always_call=True
    )
    handle.remove()
    return y


@case
def hooks_survive_deepcopy_and_pickle():
    import copy

    log = []
    net = Scale(3)
    handle = net.register_forward_hook(lambda m, a, out: log.append(m is net))
    twin = copy.deepcopy(net)
    twin(torch.ones(1))
    handle.remove()
    net(torch.ones(1))
    twin(torch.ones(1))
    return log


@case
def registration_hooks():
    log = []
    handles = [
        module_file.register_module_parameter_registration_hook(
            lambda m, name, p: log.append(("parameter", name))
        ),
        module_file.register_module_buffer_registration_hook(
            lambda m, name, b: log.append(("buffer", name))
        ),
        module_file.register_module_module_registration_hook(
            lambda m, name, c: log.append(("module", name))
        ),
    ]
    net = nn.Module()
    net.p = nn.Parameter(torch.ones(1))
    net.register_buffer("b", torch.ones(1))
    net.child = nn.Module()
    net.add_module("other", None)
    for handle in handles:
        handle.remove()
    net.q = nn.Parameter(torch.ones(1))
    return log
