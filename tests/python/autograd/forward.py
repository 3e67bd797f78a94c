"""Forward mode: duals through operations, views, in-place writes, custom functions; orders."""

fw = torch.autograd.forward_ad
F = torch.nn.functional


def derivative(function, *pairs):
    """Value and tangent of function at duals."""
    with fw.dual_level():
        duals = [fw.make_dual(x, t) for x, t in pairs]
        out = function(*duals)
        outs = out if isinstance(out, tuple) else (out,)
        unpacked = [fw.unpack_dual(o) for o in outs]
        return tuple(v for u in unpacked for v in (u.primal, u.tangent))


a, ta = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([1.0, -1.0, 2.0])
m = torch.arange(6.0).view(2, 3) / 5
tm = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.5]])

for name, f in {
    "exp": torch.exp,
    "chain": lambda x: (x.sin() * x).tanh().sum(),
    "relu": lambda x: F.relu(x - 1.0),
    "softmax": lambda x: torch.softmax(x, 0),
    "cumsum": lambda x: x.cumsum(0),
    "gather": lambda x: x[torch.tensor([2, 0, 0])],
    "maximum": lambda x: x.max(),
    "sort": lambda x: x.sort(descending=True)[0],
    "constant": lambda x: x.detach() * 2,
    "comparison": lambda x: (x > 1).float(),
    "view": lambda x: x.view(3, 1).expand(3, 2)[1:].t(),
    "several": lambda x: (x * 2, x.sum(), torch.ones(1)),
    "gelu": lambda x: F.gelu(x),
    "power": lambda x: x**3 / (1 + x),
    "mean and var": lambda x: x.mean() + x.var(),
    "sigmoid": lambda x: torch.sigmoid(x).log(),
    "where": lambda x: torch.where(x > 0.7, x * 2, x * x),
}.items():
    attempt(name, lambda f=f: derivative(f, (a, ta)))

attempt("matmul", lambda: derivative(lambda x, y: x @ y, (m, tm), (a, ta)))
attempt("one dual of two", lambda: derivative(lambda x: x @ a, (m, tm)))
attempt("layer_norm", lambda: derivative(lambda x: F.layer_norm(x, (3,)), (m, tm)))
attempt("cat", lambda: derivative(lambda x, y: torch.cat([x, y[None]]), (m, tm), (a, ta)))
attempt("linear", lambda: derivative(lambda x: F.linear(x, m, torch.ones(2)), (a, ta)))
attempt(
    "cross_entropy", lambda: derivative(lambda x: F.cross_entropy(x, torch.tensor([0, 2])), (m, tm))
)


@case
def in_place():
    def f(x):
        y = x * 1
        y.mul_(x)
        y.add_(1)
        z = torch.zeros(3)
        z.copy_(y)
        z[1:].mul_(2)
        w = y.clone()
        w.zero_()
        return y, z, w

    return derivative(f, (a, ta))


@case
def views_and_in_place():
    def f(x):
        y = x * 1
        part = y[1:]
        part.mul_(x[:2])
        other = y[:2]
        y.mul_(3)
        return y, part, other

    return derivative(f, (a, ta))


@case
def without_tangents():
    with fw.dual_level():
        plain = fw.unpack_dual(a)
        dual = fw.make_dual(a, ta)
        y = dual * 2
        inside = fw.unpack_dual(y).tangent
    outside = fw.unpack_dual(y)
    with fw.dual_level():
        later = fw.unpack_dual(y)
    return plain.tangent, inside, outside.tangent, later.tangent, later.primal


@case
def levels():
    attempt("no level", lambda: fw.make_dual(a, ta))
    with fw.dual_level() as level:
        attempt("nested", lambda: fw.enter_dual_level())
        attempt("wrong shape", lambda: fw.make_dual(a, ta[:1]))
        attempt("integers", lambda: fw.make_dual(torch.ones(1).long(), torch.ones(1).long()))
    attempt("exit twice", lambda: fw.exit_dual_level())
    return level


@case
def no_grad_carries_tangents():
    with torch.no_grad():
        return derivative(lambda x: x * x, (a, ta))


@case
def backward_of_tangents():
    """Reverse over forward: the gradient of a directional derivative."""
    x = a.clone().requires_grad_()
    with fw.dual_level():
        y = (fw.make_dual(x, ta) ** 3).sum()
        primal, tangent = fw.unpack_dual(y)
        (g,) = torch.autograd.grad(tangent, x, retain_graph=True)
        (p,) = torch.autograd.grad(primal, x)
    return tangent, g, p


@case
def tangents_of_gradients():
    """Forward over reverse: a Hessian times a vector."""
    x = a.clone().requires_grad_()
    with fw.dual_level():
        dual = fw.make_dual(x, ta)
        y = (dual**3).sum() + dual.exp().sum() + torch.softmax(dual, 0)[0]
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        primal, tangent = fw.unpack_dual(g)
    return primal, tangent


@case
def custom_function():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, grad):
            return grad * 2 * ctx.saved_tensors[0]

        @staticmethod
        def jvp(ctx, tangent):
            return tangent * 2 * ctx.saved_tensors[0]

    without = custom(lambda ctx, x: x * x, lambda ctx, g: g)
    attempt("without jvp", lambda: derivative(without.apply, (a, ta)))
    return derivative(Square.apply, (a, ta))


@case
def modules():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
    x = torch.arange(6.0).view(2, 3).sin()
    v = torch.arange(6.0).view(2, 3).cos()
    value, tangent = derivative(net, (x, v))
    eps = 1e-2
    difference = (net(x + eps * v) - net(x - eps * v)) / (2 * eps)
    return bool((tangent - difference).abs().max() < 1e-3), value.requires_grad
