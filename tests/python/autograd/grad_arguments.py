"""All arguments of autograd.grad and autograd.backward, batches of gradients included."""

grad = torch.autograd.grad


def said(function):
    try:
        return function()
    except Exception as error:
        return type(error).__name__


def batched(y, inputs, **options):
    """Gradients of a batch of three, and whether they are those of one after the other."""
    vectors = torch.arange(1.0, 1 + 3 * y.numel()).view(3, *y.shape).sin()
    at_once = grad(y, inputs, vectors, is_grads_batched=True, retain_graph=True, **options)
    single = [grad(y, inputs, v, retain_graph=True, **options) for v in vectors]
    expected = [None if s[0] is None else torch.stack(s) for s in zip(*single)]
    same = [
        (a is None and e is None) or bool((a - e).abs().max() < 1e-5)
        for a, e in zip(at_once, expected)
    ]
    return same, [None if a is None else list(a.shape) for a in at_once]


x, w = leaf(1.0, 2.0, 3.0), torch.arange(6.0).view(3, 2).requires_grad_()

attempt("batched", lambda: batched(x.exp(), [x]))
attempt("batched, matrix", lambda: batched((x @ w).tanh(), [x, w]))
attempt("batched, broadcast", lambda: batched(w * x[:, None] + x.sum(), [x, w]))
attempt("batched, indexing", lambda: batched(w[torch.tensor([0, 0, 2])], [w]))
attempt("batched, norms", lambda: batched(torch.nn.functional.layer_norm(w, (2,)), [w]))
attempt("batched, scan", lambda: batched(w.cumsum(0), [w]))
attempt("batched, sort", lambda: batched(w.sort(0, descending=True)[0], [w]))
attempt("batched, maxima", lambda: batched(w.max(0)[0], [w]))
attempt("batched, cat", lambda: batched(torch.cat([w, w.t().reshape(3, 2)], 1), [w]))
attempt("batched, unused", lambda: batched(x * 2, [x, w], allow_unused=True))


@case
def batched_views_and_in_place():
    y = w * 1
    y[1:].mul_(x[1:, None])
    y.t()[0] = x * 3
    return batched(y, [x, w])


@case
def batched_custom_function():
    F = custom(
        lambda ctx, x: (ctx.save_for_backward(x), x.exp())[1],
        lambda ctx, g: g * ctx.saved_tensors[0].exp(),
    )
    return batched(F.apply(x * 2), [x])


@case
def batched_hooks():
    y = x * 2
    y.register_hook(lambda g: g * 10)
    return batched(y.exp(), [x])


@case
def batched_second_derivative():
    y = (x**3).sum()
    (g,) = grad(y, x, create_graph=True)
    eye = torch.eye(3)
    (h,) = grad(g, x, eye, is_grads_batched=True, create_graph=True)
    (t,) = grad(h.sum(), x)
    return h, t


attempt("batched, no gradients", lambda: grad(x * 2, x, is_grads_batched=True))
attempt("batched, wrong shape", lambda: grad(x * 2, x, torch.ones(3, 2), is_grads_batched=True))

attempt("unused", lambda: grad(x.sum(), [x, w]))
attempt("unused, allowed", lambda: grad(x.sum(), [x, w], allow_unused=True))
attempt("unused, materialized", lambda: grad(x.sum(), [x, w], materialize_grads=True))
attempt(
    "materialized, not allowed",
    lambda: grad(x.sum(), [x, w], materialize_grads=True, allow_unused=False),
)
attempt("several outputs", lambda: grad([x.sum(), (x * x).sum()], x))
attempt("vectors for some", lambda: grad([x.sum(), x * x], x, [None, torch.ones(3)]))
attempt("too few vectors", lambda: grad([x.sum(), x * x], x, [torch.tensor(1.0)]))
attempt("wrong shape of a vector", lambda: grad(x * x, x, torch.ones(2)))
attempt("no vector for many elements", lambda: grad(x * x, x))
attempt("the input is the output", lambda: grad(x.sum() * 1, x, retain_graph=True))
attempt("input without grad", lambda: grad(x.sum(), torch.ones(1)))
attempt("output without grad", lambda: grad(torch.ones(1), x))
attempt("no inputs", lambda: grad(x.sum(), []))
attempt("twice the same input", lambda: grad(x.sum(), [x, x]))
attempt("only_inputs=False", lambda: grad(x.sum(), x, only_inputs=False))
attempt(
    "create_graph keeps the graph",
    lambda: [grad(x.exp().sum(), x, create_graph=True)[0].requires_grad],
)


@case
def graph_is_freed_or_kept():
    y = x.exp().sum()
    grad(y, x, retain_graph=True)
    grad(y, x)
    return said(lambda: grad(y, x))


@case
def backward_of_several():
    a, b = leaf(1.0), leaf(2.0)
    torch.autograd.backward([a * b, a * 2], [torch.tensor([3.0]), None])
    return a.grad, b.grad


@case
def backward_to_inputs():
    a, b = leaf(1.0), leaf(2.0)
    c = a * b
    (c * a).backward(inputs=[a, c])
    first = a.grad, b.grad, c.grad
    (a * b).backward(inputs=b)
    attempt("no inputs for backward", lambda: (a * b).backward(inputs=[]))
    attempt("an input without grad", lambda: (a * b).backward(inputs=[torch.ones(1)]))
    return *first, b.grad
