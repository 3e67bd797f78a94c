"""Full backward hooks of Module: what they see, their order, what they may change."""

nn = torch.nn


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x, offset=0.0):
        return x * self.factor + offset


@case
def full_backward_hook():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: log.append((m is net, gi, go)))
    x = leaf(1.0, 2.0)
    y = net(x)
    y.sum().backward()
    return log, x.grad, net.factor.grad, y.grad_fn.name()


@case
def full_backward_hook_changes_gradient():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = leaf(1.0, 2.0)
    net(x).sum().backward()
    return x.grad, net.factor.grad


@case
def full_backward_pre_hook():
    log = []
    net = Scale(3)
    net.register_full_backward_pre_hook(lambda m, go: (log.append(go), (go[0] * 10,))[1])
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    x = leaf(1.0, 2.0)
    net(x).sum().backward()
    return log, x.grad, net.factor.grad


@case
def pre_hook_alone():
    net = Scale(3)
    net.register_full_backward_pre_hook(lambda m, go: (go[0] * 10,))
    x = leaf(1.0)
    net(x).sum().backward()
    return x.grad


@case
def order_of_backward_hooks():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda *_: log.append("b1"))
    net.register_full_backward_hook(lambda *_: log.append("b2"))
    net.register_full_backward_hook(lambda *_: log.append("b0"), prepend=True)
    net.register_full_backward_pre_hook(lambda *_: log.append("p1"))
    net.register_full_backward_pre_hook(lambda *_: log.append("p0"), prepend=True)
    net(leaf(1.0)).backward()
    return log


@case
def no_input_requires_grad():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    net(torch.ones(2)).sum().backward()
    return log, net.factor.grad


@case
def no_input_requires_grad_and_hook_returns():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: (torch.ones(2),))
    net(torch.ones(2)).sum().backward()


@case
def in_no_grad_mode():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda *_: log.append(1))
    with torch.no_grad():
        y = net(leaf(1.0))
    return y.requires_grad, y, log


@case
def several_inputs_and_outputs():
    log = []

    class Pair(nn.Module):
        def forward(self, a, n, b, word):
            return a * 2, n, b * 3

    net = Pair()
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    a, b = leaf(1.0), torch.ones(1)
    p, n, q = net(a, 5, b, "s")
    p.sum().backward()
    return log, n, q.requires_grad, a.grad


@case
def keyword_tensors_are_not_seen():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    offset = leaf(1.0)
    net(torch.ones(1), offset=offset).backward()
    return log, offset.grad


@case
def wrong_number_of_gradients():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    net(leaf(1.0)).backward()


@case
def wrong_size_of_gradient():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0].sum(),))
    net(leaf(1.0, 2.0)).sum().backward()


@case
def non_tensor_result():
    class Dict(nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    net = Dict()
    net.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = leaf(1.0)
    net(x)["y"].backward()
    return x.grad


@case
def in_place_after_hooked_module():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: None)
    y = net(leaf(1.0, 2.0))
    return y.mul_(2)


@case
def in_place_inside_hooked_module():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    net = InPlace()
    net.register_full_backward_hook(lambda m, gi, go: None)
    return net(leaf(1.0) * 1)


@case
def handles():
    log = []
    net = Scale(3)
    first = net.register_full_backward_hook(lambda *_: log.append("a"))
    with net.register_full_backward_hook(lambda *_: log.append("b")):
        net(leaf(1.0)).backward()
    net(leaf(1.0)).backward()
    first.remove()
    net(leaf(1.0)).backward()
    return log, len(net._backward_hooks)


@case
def twice_with_retained_graph():
    log = []
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    x = leaf(1.0)
    y = net(x)
    y.backward(retain_graph=True)
    y.backward(torch.tensor([2.0]))
    return log, x.grad


@case
def double_backward_through_hooked_module():
    net = Scale(3)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = leaf(2.0)
    (g,) = torch.autograd.grad(net(x * x), x, create_graph=True)
    g.backward()
    return g, x.grad


@case
def nested_modules():
    log = []
    net = nn.Sequential(Scale(2), nn.Sequential(Scale(3), Scale(5)))
    for name, module in net.named_modules():
        module.register_full_backward_hook(lambda m, gi, go, n=name: log.append((n, gi, go)))
        module.register_full_backward_pre_hook(lambda m, go, n=name: log.append((n, "pre", go)))
    x = leaf(1.0)
    net(x).backward()
    return log, x.grad
