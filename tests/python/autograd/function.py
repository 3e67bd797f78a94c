"""autograd.Function: what a context keeps, what may be returned, in-place, orders, errors."""

import gc
import threading
import weakref

Function = torch.autograd.Function


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        (result,) = ctx.saved_tensors
        return grad * result


class Scale(Function):
    """A tensor and a number; the split form."""

    @staticmethod
    def forward(x, factor):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.factor = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


class Product(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        needs_a, needs_b = ctx.needs_input_grad
        return grad * b if needs_a else None, grad * a if needs_b else None


@case
def result_saved():
    x = leaf(0.0, 1.0)
    y = Exp.apply(x)
    y.sum().backward()
    return y, x.grad, y.requires_grad, y.is_leaf


@case
def name_of_node():
    y = Exp.apply(leaf(1.0))
    return (
        y.grad_fn.name(),
        type(y.grad_fn).__name__,
        y.grad_fn is y.grad_fn,
        repr(y).split("grad_fn=")[1],
        isinstance(y.grad_fn, Exp._backward_cls),
        Exp._backward_cls.__name__,
    )


@case
def context_is_node():
    seen = []

    def forward(ctx, x):
        seen.append(ctx)
        ctx.note = "kept"
        return x * 2

    def backward(ctx, grad):
        seen.append(ctx)
        return grad * len(ctx.note)

    x = leaf(1.0)
    y = custom(forward, backward).apply(x)
    same = seen[0] is y.grad_fn
    y.backward()
    return same, seen[1] is y.grad_fn, y.grad_fn.note, x.grad


@case
def split_form():
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3)
    saved = y.grad_fn.saved_tensors
    same = saved[0] is x, saved[1] is y
    y.sum().backward()
    return x.grad, y, same, saved[1].grad_fn is y.grad_fn


@case
def needs_input_grad():
    seen = []

    def forward(ctx, a, n, b, c):
        seen.append(ctx.needs_input_grad)
        return a * b

    def backward(ctx, grad):
        seen.append(ctx.needs_input_grad)
        return grad, None, None, None

    a = leaf(1.0)
    custom(forward, backward).apply(a, 5, torch.ones(1), None).backward()
    return tuple(seen)


@case
def only_wanted_are_computed():
    a, b = leaf(2.0), torch.tensor([3.0])
    Product.apply(a, b).backward()
    (g,) = torch.autograd.grad(Product.apply(a, a), a)
    return a.grad, b.grad, g


@case
def nothing_requires_grad():
    x = torch.ones(2)
    y = Exp.apply(x)
    with torch.no_grad():
        z = Exp.apply(leaf(1.0))
    return y.requires_grad, y.grad_fn, z.requires_grad


@case
def grad_mode_inside():
    seen = []

    def forward(ctx, x):
        seen.append(torch.is_grad_enabled())
        return x * 1

    def backward(ctx, grad):
        seen.append(torch.is_grad_enabled())
        return grad

    x = leaf(1.0)
    y = custom(forward, backward).apply(x)
    torch.autograd.grad(y, x, retain_graph=True)
    torch.autograd.grad(y, x, create_graph=True)
    return seen, torch.is_grad_enabled()


@case
def double_backward():
    x = leaf(0.5, 2.0)
    (g,) = torch.autograd.grad(Exp.apply(x * 2).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
    (k,) = torch.autograd.grad(h.sum(), x)
    a, b = leaf(2.0), leaf(3.0)
    y = Product.apply(a, b)
    ga, gb = torch.autograd.grad(y, (a, b), create_graph=True)
    (ga * gb).backward()
    return g, h, k, ga, gb, a.grad, b.grad


@case
def once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    x, v = leaf(3.0), leaf(1.0)
    (plain,) = torch.autograd.grad(Once.apply(x), x, create_graph=True)
    (g,) = torch.autograd.grad(Once.apply(x), x, v, create_graph=True)
    attempt("differentiated twice", lambda: g.backward())
    attempt("through what is made of it", lambda: (g * 2).sum().backward())
    return plain, plain.requires_grad, g, g.requires_grad, g.is_leaf


@case
def several_outputs():
    def forward(ctx, x, y):
        return x + y, x * 1, (x > 0).long()

    def backward(ctx, a, b, c):
        return a * 2 + b * 3, a * 10 if c is None else c + a

    x, y = leaf(1.0, -1.0), leaf(1.0, 1.0)
    a, b, c = custom(forward, backward).apply(x, y)
    (a.sum() + b.sum() * 2).backward()
    return x.grad, y.grad, a.output_nr, b.output_nr, c, c.requires_grad, a.grad_fn is b.grad_fn


@case
def materialized():
    seen = []

    def forward(ctx, x):
        return x * 1, x.view(-1, 1) * 2

    def backward(ctx, a, b):
        seen.append((a, b))
        return a

    x = leaf(1.0, 2.0)
    custom(forward, backward).apply(x)[0].sum().backward()
    return seen, seen[0][1].shape


@case
def not_materialized():
    seen = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 1, x * 2

    def backward(ctx, a, b):
        seen.append((a is None, b is None))
        return a

    x = leaf(1.0, 2.0)
    custom(forward, backward).apply(x)[0].sum().backward()
    return seen, x.grad


@case
def none_gradient():
    def backward(ctx, grad):
        return None

    x = leaf(1.0)
    y = custom(lambda ctx, x: x * 2, backward).apply(x * 3)
    y.backward()
    return x.grad


@case
def non_differentiable():
    def forward(ctx, x):
        order = x.argsort()
        kept = x * 2
        ctx.mark_non_differentiable(order, kept)
        return x * 3, order, kept

    def backward(ctx, grad, order, kept):
        return grad * 3 + kept

    x = leaf(3.0, 1.0)
    y, order, kept = custom(forward, backward).apply(x)
    y.sum().backward()
    return x.grad, order, order.requires_grad, kept.requires_grad, kept.grad_fn, y.requires_grad


@case
def non_tensor_outputs():
    def forward(ctx, x):
        return x * 2, "word", 7, None, [1, 2]

    def backward(ctx, grad, *rest):
        return grad * len(rest)

    x = leaf(1.0)
    y, *rest = custom(forward, backward).apply(x)
    y.backward()
    return y, rest, x.grad


@case
def list_of_tensors_is_no_output():
    return custom(lambda ctx, x: [x * 2, x], lambda ctx, *g: g[0]).apply(leaf(1.0))


@case
def non_tensor_arguments():
    seen = []

    def forward(ctx, scale, x, options, *more):
        seen.append((scale, options, len(more)))
        return x * scale

    def backward(ctx, grad):
        return None, grad * 2, None, None, None

    x = leaf(1.0)
    custom(forward, backward).apply(2, x, {"a": [1]}, None, "s").backward()
    return seen, x.grad


@case
def trailing_none_gradients():
    def backward(ctx, grad):
        return grad * 2, None, None, None

    x = leaf(1.0)
    custom(lambda ctx, x, n: x * n, backward).apply(x, 2).backward()
    return x.grad


@case
def integer_tensor_argument():
    def backward(ctx, grad):
        return grad * 2, torch.ones(2)

    x = leaf(1.0, 2.0)
    custom(lambda ctx, x, i: x[i], backward).apply(x, torch.tensor([0, 1])).sum().backward()
    return x.grad


@case
def keyword_arguments():
    return custom(lambda ctx, x: x, lambda ctx, g: g).apply(x=leaf(1.0))


@case
def backward_twice():
    x = leaf(1.0)
    y = Exp.apply(x)
    y.backward(retain_graph=True)
    y.backward()
    attempt("a third time", lambda: y.backward())
    attempt("saved tensors after that", lambda: y.grad_fn.saved_tensors)
    return x.grad


@case
def backward_twice_without_saved():
    y = custom(lambda ctx, x: x * 2, lambda ctx, g: g * 2).apply(leaf(1.0))
    y.backward()
    return attempt("again", lambda: y.backward())


def wrong(backward):
    return custom(lambda ctx, x, y: x + y, backward).apply(leaf(1.0, 2.0), leaf(3.0, 4.0)).sum()


attempt("too few gradients", lambda: wrong(lambda ctx, g: g).backward())
attempt("too many gradients", lambda: wrong(lambda ctx, g: (g, g, g)).backward())
attempt("wrong shape", lambda: wrong(lambda ctx, g: (g, g[:0])).backward())
attempt("not a tensor", lambda: wrong(lambda ctx, g: (g, 3.0)).backward())
attempt("a list", lambda: wrong(lambda ctx, g: [g, g]).backward())
attempt("error in backward", lambda: wrong(lambda ctx, g: 1 // 0).backward())
attempt("no backward", lambda: Function.backward(None, None))
attempt("no forward", lambda: Function.forward(None, None))


@case
def gradient_is_reduced_and_cast():
    x = torch.ones(2, 1, requires_grad=True)
    y = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    F = custom(lambda ctx, x, y: x + y, lambda ctx, g: (g.expand(2, 3), g.float()))
    F.apply(x, y).sum().backward()
    return x.grad, x.grad.dtype, y.grad, y.grad.dtype


@case
def missing_methods():
    class Nothing(Function):
        pass

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class NotStatic(Function):
        def forward(self, ctx, x):
            return x * 2

    attempt("no forward method", lambda: Nothing.apply(leaf(1.0)))
    attempt("no backward method", lambda: NoBackward.apply(leaf(1.0)).requires_grad)
    attempt("no backward method, run", lambda: NoBackward.apply(leaf(1.0)).backward())
    attempt("not static", lambda: NotStatic.apply(leaf(1.0)))
    attempt("an instance", lambda: Exp().apply(leaf(1.0)))
    return attempt("called", lambda: Exp()(leaf(1.0)))


@case
def error_in_forward():
    F = custom(lambda ctx, x: 1 // 0, lambda ctx, g: g)
    attempt("raises", lambda: F.apply(leaf(1.0)))
    return torch.is_grad_enabled()


@case
def saved_other_than_tensors():
    def forward(ctx, x):
        ctx.save_for_backward(x, None)
        return x * 2

    def backward(ctx, grad):
        x, nothing = ctx.saved_tensors
        return grad if nothing is None else None

    x = leaf(1.0)
    custom(forward, backward).apply(x).backward()

    def bad(ctx, x):
        ctx.save_for_backward(x, 3)
        return x * 2

    attempt("saving a number", lambda: custom(bad, backward).apply(leaf(1.0)))
    return x.grad


@case
def saving_twice_keeps_the_last():
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_backward(x * 2, x * 3)
        return x * 2

    x = leaf(1.0)
    y = custom(forward, lambda ctx, g: g * ctx.saved_tensors[1]).apply(x)
    y.backward(retain_graph=True)
    return x.grad, len(y.grad_fn.saved_tensors)


@case
def intermediate_saved():
    """What forward computes for itself has no history, so no second derivative goes through it."""

    def forward(ctx, x):
        e = x.exp()
        ctx.save_for_backward(e)
        return e * 2

    x = leaf(1.0)
    y = custom(forward, lambda ctx, g: g * 2 * ctx.saved_tensors[0]).apply(x)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return g, g.requires_grad


@case
def hooks_on_the_node():
    log = []
    x = leaf(1.0)
    y = custom(lambda ctx, x: x * 2, lambda ctx, g: (log.append("run"), g * 2)[1]).apply(x)
    y.register_hook(lambda g: log.append("tensor"))
    y.grad_fn.register_prehook(lambda grads: (log.append("pre"), tuple(g * 10 for g in grads))[1])
    handle = y.grad_fn.register_hook(lambda gi, go: log.append(("removed", gi, go)))
    y.grad_fn.register_hook(lambda gi, go: (log.append((gi, go)), (gi[0] + 1,))[1])
    handle.remove()
    y.backward()
    return log, x.grad


@case
def next_functions():
    x, w = leaf(1.0), torch.ones(1)
    z = x * 2
    y = custom(lambda ctx, *a: a[0] + a[3], lambda ctx, g: (g, None, None, g)).apply(z, 3, w, x)
    return tuple(
        (node.name() if node is not None else None, index)
        for node, index in y.grad_fn.next_functions
    )


@case
def nested():
    def forward(ctx, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            ctx.inner = inner, Exp.apply(inner) * inner
        return ctx.inner[1].detach()

    def backward(ctx, grad):
        inner, result = ctx.inner
        return torch.autograd.grad(result, inner, grad)[0]

    x = leaf(1.0, 2.0)
    y = custom(forward, backward).apply(x)
    y.sum().backward()
    return y, x.grad


@case
def a_function_in_another():
    def forward(ctx, x):
        y = Exp.apply(x)
        ctx.save_for_backward(x)
        return y, y.requires_grad

    def backward(ctx, grad, _):
        (x,) = ctx.saved_tensors
        return Exp.apply(x) * grad

    x = leaf(1.0)
    y, inside = custom(forward, backward).apply(x)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    return inside, g, h


@case
def context_dies_with_its_graph():
    held = []

    class Marker:
        pass

    def forward(ctx, x):
        ctx.marker = Marker()
        held.append(weakref.ref(ctx.marker))
        ctx.save_for_backward(x)
        return x * 2

    y = custom(forward, lambda ctx, g: g).apply(leaf(1.0))
    alive = held[0]() is not None
    del y
    gc.collect()
    return alive, held[0]() is None


@case
def a_long_chain():
    x = leaf(1.0)
    y = x
    F = custom(lambda ctx, x: x * 1, lambda ctx, g: g)
    for _ in range(5000):
        y = F.apply(y)
    y.backward()
    del y
    return x.grad


@case
def inherited():
    class Twice(Exp):
        @staticmethod
        def backward(ctx, grad):
            return Exp.backward(ctx, grad) * 2

    x = leaf(0.0)
    y = Twice.apply(x)
    y.backward()
    return x.grad, y.grad_fn.name()


@case
def subclass_of_tensor_results():
    class Mine(torch.Tensor):
        pass

    x = leaf(1.0)
    y = custom(lambda ctx, x: (x * 2).as_subclass(Mine), lambda ctx, g: g * 2).apply(x)
    y.sum().backward()
    return type(y).__name__, x.grad


@case
def used_by_many_threads():
    results = [None] * 4

    def work(i):
        x = leaf(float(i), 1.0)
        for _ in range(20):
            Product.apply(Exp.apply(x * 0), x).sum().backward()
        results[i] = x.grad

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(results)


@case
def one_graph_from_two_threads():
    x = leaf(1.0, 2.0)
    y = Product.apply(Exp.apply(x), x * 2).sum()
    grads = [None, None]

    def work(i):
        for _ in range(10):
            (grads[i],) = torch.autograd.grad(y, x, retain_graph=True)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(grads)


@case
def inputs_of_backward():
    a, b = leaf(2.0), leaf(3.0)
    Product.apply(a, b).backward(inputs=[a])
    seen = []
    F = custom(
        lambda ctx, a, b: a * b, lambda ctx, g: (seen.append(ctx.needs_input_grad), (g, g))[1]
    )
    torch.autograd.grad(F.apply(a, b), a)
    return a.grad, b.grad, seen


@case
def nothing_is_left_to_inputs():
    x = leaf(1.0)
    y = x * 2
    z = custom(lambda ctx, x: x * 2, lambda ctx, g: g * 2).apply(y)
    gz, gy = torch.autograd.grad(z, (z, y))
    return gz, gy


@case
def place_among_other_outputs():
    x = leaf(1.0)
    F = custom(lambda ctx, x: (7, x * 2, None, x * 3), lambda ctx, a, b, c, d: b * 2 + d * 30)
    _, y, _, z = F.apply(x)
    z.backward()
    return y.output_nr, z.output_nr, x.grad


@case
def without_arguments():
    y = custom(lambda ctx: torch.ones(1), lambda ctx, g: None).apply()
    return y, y.requires_grad


@case
def generate_context_subclass_attributes():
    y = Exp.apply(leaf(1.0))
    return (
        hasattr(y.grad_fn, "needs_input_grad"),
        isinstance(y.grad_fn, torch.autograd.function.FunctionCtx),
        Exp.__name__,
        Exp._backward_cls._forward_cls is Exp,
        isinstance(y.grad_fn, torch.autograd.graph.Node),
    )


@case
def inference_tensors():
    with torch.inference_mode():
        x = torch.ones(1)
        y = Exp.apply(leaf(1.0))
    return y.is_inference(), attempt("saving one", lambda: Product.apply(leaf(1.0), x))


@case
def function_ctx_alone():
    ctx = torch.autograd.function.FunctionCtx()
    ctx.save_for_backward(torch.ones(1), torch.zeros(1))
    ctx.set_materialize_grads(False)
    ctx.mark_dirty(torch.ones(1))
    return ctx.to_save, ctx.materialize_grads, len(ctx.dirty_tensors)
