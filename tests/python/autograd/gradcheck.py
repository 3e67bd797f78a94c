"""autograd.gradcheck and gradgradcheck: what passes, what does not, and how that is said."""

import warnings

gradcheck = torch.autograd.gradcheck
gradgradcheck = torch.autograd.gradgradcheck


def double(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def said(function):
    """The first words of the error; and whether there was a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function()
        except Exception as error:
            result = type(error).__name__, str(error)[:32]
    return (result, "warned") if caught and result is True else result


a, b = double(0.3, 0.7), double([1.0, 2.0], [0.5, -1.0])

wrong = custom(
    lambda ctx, x: (ctx.save_for_backward(x), x * x)[1], lambda ctx, g: g * ctx.saved_tensors[0] * 3
)
right = custom(
    lambda ctx, x: (ctx.save_for_backward(x), x * x)[1], lambda ctx, g: g * ctx.saved_tensors[0] * 2
)
wrong_second = custom(
    lambda ctx, x: (ctx.save_for_backward(x), x * x)[1],
    lambda ctx, g: g * ctx.saved_tensors[0].detach() * 2,
)
not_scaled = custom(lambda ctx, x: x.clone(), lambda ctx, g: torch.ones_like(g))
ignores_undefined = custom(
    lambda ctx, x: (ctx.set_materialize_grads(False), x * 2)[1],
    lambda ctx, g: torch.ones(2, dtype=torch.float64) if g is None else g * 2,
)


class wrong_jvp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2 * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 3 * ctx.saved_tensors[0]


drift = []
not_reentrant = custom(
    lambda ctx, x: x * 2, lambda ctx, g: (drift.append(1), g * (2 + 1e-7 * len(drift)))[1]
)
wrong_dtype = custom(lambda ctx, x: x.double() * 2, lambda ctx, g: g.float() * 2)

for fast in (False, True):

    def check(label, f, inputs, checker=gradcheck, fast=fast, **options):
        show(f"{label}, {fast}", said(lambda: checker(f, inputs, fast_mode=fast, **options)))

    check("function of one", torch.sin, a)
    check("tuple", lambda x, y: (x @ y).exp(), (a, b))
    check("list", lambda x, y: (x @ y).exp(), [a, b])
    check("several outputs", lambda x: (x.sin(), x.sum(), x.detach()), a)
    check("not a tensor", lambda x, n: x * n, (a, 3))
    check("one needs none", lambda x, y: x @ y, (a, b.detach()))
    check("wrong", wrong.apply, a)
    check("right", right.apply, a)
    check("not scaled", not_scaled.apply, a)
    check("undefined", ignores_undefined.apply, a)
    check("undefined, unchecked", ignores_undefined.apply, a, check_undefined_grad=False)
    check("float", torch.sin, leaf(0.3), atol=1e-1, rtol=1e-1, eps=1e-3)
    check("no gradient", lambda x: x.detach() * 0, a)
    check("no gradient, depends", lambda x: x.detach() * 2, a)
    check("batched", lambda x, y: (x @ y).exp(), (a, b), check_batched_grad=True)
    check("forward", lambda x, y: (x @ y).exp(), (a, b), check_forward_ad=True)
    check("forward alone", torch.sin, a, check_forward_ad=True, check_backward_ad=False)
    check("forward, wrong", wrong_jvp.apply, a, check_forward_ad=True)
    check("forward of backward", torch.sin, a, gradgradcheck, check_fwd_over_rev=True)
    check("second", lambda x: x.exp(), a, gradgradcheck)
    check("second of two", lambda x, y: (x @ y).tanh(), (a, b), gradgradcheck)
    check("second, right", right.apply, a, gradgradcheck)
    check("second, wrong", wrong_second.apply, a, gradgradcheck)
    check("second, given", lambda x: x.exp(), a, gradgradcheck, grad_outputs=double(1.0, 2.0))
    check("second, strided", lambda x: x.exp(), a, gradgradcheck, gen_non_contig_grad_outputs=True)

attempt("wrong, no exception", lambda: gradcheck(wrong.apply, a, raise_exception=False))
show("not reentrant", said(lambda: gradcheck(not_reentrant.apply, a)))
show("not reentrant, tolerated", said(lambda: gradcheck(not_reentrant.apply, a, nondet_tol=1e-3)))
attempt("no input requires grad", lambda: gradcheck(torch.sin, a.detach()))
attempt("overlapping input", lambda: gradcheck(torch.sin, double(1.0).expand(3)))
attempt("nothing to check", lambda: gradcheck(torch.sin, a, check_backward_ad=False))
attempt(
    "empty", lambda: gradcheck(torch.sin, torch.empty(0, dtype=torch.float64, requires_grad=True))
)
attempt("inputs are as before", lambda: (gradcheck(torch.sin, a), a)[1])
attempt("a non-contiguous input", lambda: gradcheck(torch.sin, b.detach().t().requires_grad_()))
