"""autograd.functional: products with Jacobians and Hessians, whole ones, their errors."""

F = __import__("importlib").import_module(torch.__name__ + ".autograd.functional")


def pair(x, y):
    return x * y.sum(), (x * x).sum()


def cubic(x):
    return (x**3).sum()


def mixed(x, y):
    return (x * x).sum() * y.sum() + y[0] * y[1] * y[2]


a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
v2, v3, v1 = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2.0)

attempt("vjp", lambda: F.vjp(pair, (a, b), (v2, v1)))
attempt("vjp of a scalar", lambda: F.vjp(cubic, a))
attempt("vjp without v", lambda: F.vjp(lambda x: x * 2, a))
attempt("vjp, v of another size", lambda: F.vjp(lambda x: x * 2, a, v3))
attempt("vjp, wrong number of v", lambda: F.vjp(pair, (a, b), (v2,)))
attempt("vjp, not a tensor", lambda: F.vjp(cubic, 3.0))
attempt("vjp, not a tensor in a tuple", lambda: F.vjp(pair, (a, 3.0)))
attempt("vjp, result no tensor", lambda: F.vjp(lambda x: 3.0, a, v2))
attempt("vjp, unused input", lambda: F.vjp(lambda x, y: x * 2, (a, b), v2))
attempt("vjp, unused input, strict", lambda: F.vjp(lambda x, y: x * 2, (a, b), v2, strict=True))
attempt("vjp, detached, strict", lambda: F.vjp(lambda x: x.detach(), a, v2, strict=True))
attempt("vjp, detached", lambda: F.vjp(lambda x: x.detach(), a, v2))

attempt("jvp", lambda: F.jvp(pair, (a, b), (v2, v3)))
attempt("jvp of a scalar", lambda: F.jvp(lambda x: torch.stack([x, x * x]), torch.tensor(3.0)))
attempt("jvp without v", lambda: F.jvp(lambda x: x * 2, a))
attempt("jvp, v of another size", lambda: F.jvp(lambda x: x * 2, a, v3))
attempt("jvp, unused input", lambda: F.jvp(lambda x, y: x * 2, (a, b), (v2, v3)))
attempt("jvp, unused, strict", lambda: F.jvp(lambda x, y: x * 2, (a, b), (v2, v3), strict=True))
attempt("jvp, detached", lambda: F.jvp(lambda x: x.detach(), a, v2))

for vectorize in (False, True):

    def jac(f, x, name, vectorize=vectorize, **options):
        attempt(f"{name}, {vectorize}", lambda: F.jacobian(f, x, vectorize=vectorize, **options))

    jac(lambda x: x.exp(), a, "jacobian")
    jac(pair, (a, b), "jacobian of several")
    jac(lambda x: (x * 2,), a, "jacobian, tuple of one")
    jac(lambda x: x * 2, (a,), "jacobian by a tuple of one")
    jac(lambda x: x.sum(), torch.ones(2, 2), "jacobian, scalar")
    jac(lambda x, y: x * 2, (a, b), "jacobian, unused")
    jac(lambda x: x.detach(), a, "jacobian, detached")
    jac(lambda x: x @ x.t(), torch.arange(4.0).view(2, 2), "jacobian, matrix")
    jac(lambda x, y: x * 2, (a, b), "jacobian, unused, strict", strict=True)
    jac(lambda x: torch.softmax(x, 0), a, "jacobian, softmax")
    jac(lambda x: torch.nn.functional.layer_norm(x, (3,)), b, "jacobian, layer_norm")
    jac(lambda x: x[torch.tensor([0, 0, 1])].cumsum(0), a, "jacobian, gather")
    jac(lambda x: torch.cat([x, x * x])[1:].view(3, 1).expand(3, 2), a, "jacobian, shapes")

    attempt(f"hessian, {vectorize}", lambda v=vectorize: F.hessian(cubic, a, vectorize=v))
    attempt(
        f"hessian of several, {vectorize}",
        lambda v=vectorize: F.hessian(mixed, (a, b), vectorize=v),
    )

attempt(
    "jacobian forward",
    lambda: tuple(F.jacobian(pair, (a, b), vectorize=True, strategy="forward-mode")),
)
attempt(
    "jacobian forward, not vectorized",
    lambda: F.jacobian(pair, (a, b), strategy="forward-mode"),
)
attempt("jacobian, unknown strategy", lambda: F.jacobian(pair, (a, b), strategy="other"))
attempt("hessian, not a scalar", lambda: F.hessian(lambda x: x * 2, a))
attempt("hessian, strict", lambda: F.hessian(lambda x: (x * 2).sum(), a, strict=True))
attempt("hessian, linear", lambda: F.hessian(lambda x: (x * 2).sum(), a))

attempt("vhp", lambda: F.vhp(mixed, (a, b), (v2, v3)))
attempt("vhp of one", lambda: F.vhp(cubic, a, v2))
attempt("vhp without v", lambda: F.vhp(cubic, a))
attempt("vhp, not a scalar", lambda: F.vhp(lambda x: x, a, v2))
attempt("vhp, linear", lambda: F.vhp(lambda x: (x * 2).sum(), a, v2))
attempt("hvp", lambda: F.hvp(mixed, (a, b), (v2, v3)))
attempt("hvp of one", lambda: F.hvp(cubic, a, v2))
attempt("hvp, linear", lambda: F.hvp(lambda x: (x * 2).sum(), a, v2))
attempt("hvp, linear, strict", lambda: F.hvp(lambda x: (x * 2).sum(), a, v2, strict=True))


@case
def graphs():
    x = leaf(1.0, 2.0)
    j = F.jacobian(lambda x: x**3, x, create_graph=True)
    j.sum().backward()
    first = x.grad.clone()
    x.grad = None
    out, product = F.vjp(cubic, x, create_graph=True)
    (out + product.sum()).backward()
    plain = F.jacobian(lambda x: x**3, x)
    h = F.hessian(cubic, x, create_graph=True)
    return first, x.grad, plain.requires_grad, h.requires_grad, j.requires_grad


@case
def inside_no_grad():
    with torch.no_grad():
        return F.jacobian(lambda x: x * x, a)
