"""Nodes, what they save, hooks of several gradients; orders of hooks; graph-wide queries."""

import gc
import threading
import warnings
import weakref

graph = torch.autograd.graph


@case
def node():
    x = leaf(1.0)
    y = x * leaf(2.0)
    node = y.grad_fn
    edge = node.next_functions[0]
    return (
        node.name(),
        type(node).__name__,
        node is y.grad_fn,
        len(node.next_functions),
        type(edge[0]).__name__,
        edge[0].name(),
        edge[1],
        edge[0].variable is x,
        edge[0].next_functions,
        isinstance(node, graph.Node),
        hasattr(node, "variable"),
    )


@case
def metadata_lives_with_the_node():
    y = leaf(1.0) * 2
    y.grad_fn.metadata["key"] = 5
    gc.collect()
    return y.grad_fn.metadata


@case
def a_node_outlives_its_tensor():
    node = (leaf(1.0) * 2).grad_fn
    gc.collect()
    return node.name(), node.next_functions[0][0].name()


@case
def node_hooks():
    log = []
    x = leaf(1.0)
    y = x * leaf(2.0)
    y.grad_fn.register_hook(lambda gi, go: log.append(("post", gi, go)))
    y.grad_fn.register_prehook(lambda go: log.append(("pre", go)))
    handle = y.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    y.backward(retain_graph=True)
    handle.remove()
    y.backward()
    return log, x.grad


@case
def hooks_of_an_accumulator():
    log = []
    x = leaf(1.0)
    y = x * 2
    accumulator = y.grad_fn.next_functions[0][0]
    accumulator.register_hook(lambda gi, go: log.append((gi, go, x.grad)))
    accumulator.register_prehook(lambda go: (log.append(x.grad), (go[0] * 10,))[1])
    y.backward()
    return log, x.grad


@case
def node_hook_with_wrong_count():
    y = leaf(1.0) * leaf(2.0)
    y.grad_fn.register_hook(lambda gi, go: (gi[0],))
    y.backward()


@case
def tensor_hook_with_wrong_size():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    (x * 2).sum().backward()


@case
def tensor_hook_with_wrong_type():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: 3)
    (x * 2).sum().backward()


@case
def order_of_all_hooks():
    log = []
    x = leaf(1.0)
    y = x.mul(leaf(2.0))
    z = y * 3
    y.grad_fn.register_prehook(lambda go: log.append(("node pre", go)))
    y.grad_fn.register_hook(lambda gi, go: log.append(("node post", gi)))
    y.retain_grad()
    y.register_hook(lambda g: (log.append(("tensor 1", g)), g * 2)[1])
    y.register_hook(lambda g: (log.append(("tensor 2", g)), g * 2)[1])
    x.register_hook(lambda g: (log.append(("leaf", g)), g * 10)[1])
    x.register_post_accumulate_grad_hook(lambda t: log.append(("after", t.grad, t is x)))
    z.backward()
    return log, y.grad, x.grad


@case
def captured_gradients_and_hooks():
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g * 100)
    z = y * 3
    both = torch.autograd.grad(z, (x, y), retain_graph=True)
    one = torch.autograd.grad(z, y, retain_graph=True)
    root = torch.autograd.grad(z, z)
    return both, one, root


@case
def retain_grad_and_in_place():
    log = []
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: log.append(("before", g)))
    y.mul_(3)
    y.register_hook(lambda g: log.append(("after", g)))
    y.sum().backward()
    return log, y.grad, x.grad, y.retains_grad


@case
def retain_grad_twice_and_on_a_leaf():
    x = leaf(1.0)
    x.retain_grad()
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    y.backward(retain_graph=True)
    first = y.grad.clone()
    y.backward()
    attempt("of what needs none", lambda: torch.ones(1).retain_grad())
    return first, y.grad, x.retains_grad, y.retains_grad


@case
def removed_hooks():
    log = []
    x = leaf(1.0)
    y = x * 2
    a = y.register_hook(lambda g: log.append("a"))
    b = x.register_hook(lambda g: log.append("b"))
    c = x.register_post_accumulate_grad_hook(lambda t: log.append("c"))
    y.backward(retain_graph=True)
    a.remove()
    b.remove()
    c.remove()
    a.remove()
    y.backward()
    return log


@case
def a_hook_that_removes_itself():
    log = []
    x = leaf(1.0)
    handle = x.register_hook(lambda g: (log.append(1), handle.remove())[0])
    (x * 2).backward()
    (x * 2).backward()
    return log


@case
def hooks_registered_before_in_place():
    """A handle of a hook works also when the tensor's node has changed."""
    log = []
    x = leaf(1.0)
    y = x * 2
    handle = y.register_hook(lambda g: log.append(g))
    y.mul_(3)
    handle.remove()
    y.backward()
    return log


@case
def post_accumulate_hook_frees_gradient():
    x = leaf(1.0, 2.0)

    def step(t):
        with torch.no_grad():
            t -= 0.5 * t.grad
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 2).sum().backward()
    attempt("on what is no leaf", lambda: (x * 2).register_post_accumulate_grad_hook(print))
    return x, x.grad


@case
def error_in_a_hook():
    x = leaf(1.0)
    x.register_hook(lambda g: 1 // 0)
    (x * 2).backward()


@case
def multi_grad_hook_all():
    log = []
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    y = a * b
    handle = graph.register_multi_grad_hook((a, y, c), lambda grads: log.append(list(grads)))
    (y * 1).backward(retain_graph=True)
    (y * c).backward(retain_graph=True)
    handle.remove()
    (y * 1).backward()
    return log


@case
def multi_grad_hook_any():
    log = []
    a, b = leaf(1.0), leaf(2.0)
    y = a * 3 + b * 5
    graph.register_multi_grad_hook((a, b), log.append, mode="any")
    y.backward(retain_graph=True)
    y.backward()
    attempt("other modes", lambda: graph.register_multi_grad_hook((a,), log.append, mode="one"))
    return len(log), log[0] in (torch.tensor([3.0]), torch.tensor([5.0]))


@case
def gradient_edges():
    x = leaf(1.0)
    y = x * 2
    edge = graph.get_gradient_edge(y)
    of_leaf = graph.get_gradient_edge(x)
    attempt("of what needs none", lambda: graph.get_gradient_edge(torch.ones(1)))
    return edge.node is y.grad_fn, edge.output_nr, of_leaf.node.variable is x, of_leaf.output_nr


@case
def pack_and_unpack():
    log = []
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)

    def pack(t):
        log.append(("pack", t.tolist(), t.is_leaf))
        return t.tolist()

    def unpack(values):
        log.append(("unpack", tuple(values)))
        return torch.tensor(values)

    with graph.saved_tensors_hooks(pack, unpack):
        y = (x * w) * w
    before = len(log)
    y.sum().backward()
    return sorted(map(str, log[:before])), sorted(map(str, log[before:])), x.grad, w.grad


@case
def packed_tensors_keep_their_history():
    a, b = leaf(2.0), leaf(3.0)
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), lambda v: torch.tensor(v)):
        y = (a * b) * (a * 2)
        z = y.exp()
    (gz,) = torch.autograd.grad(z, a, retain_graph=True)
    ga, gb = torch.autograd.grad(y, (a, b), create_graph=True)
    (ga * gb).backward()
    return ga, gb, a.grad, b.grad, gz


@case
def nested_saved_tensors_hooks():
    log = []
    x = leaf(2.0)

    def named(name):
        return graph.saved_tensors_hooks(lambda t: (log.append(name), t)[1], lambda t: t)

    with named("outer"):
        with named("inner"):
            y = x.exp()
        z = y.exp()
    z.exp().backward()
    return log, x.grad


@case
def bad_saved_tensors_hooks():
    x = leaf(2.0)

    def run(pack, unpack):
        with graph.saved_tensors_hooks(pack, unpack):
            y = x * x
        y.backward()

    attempt("pack raises", lambda: run(lambda t: 1 // 0, lambda t: t))
    attempt("unpack raises", lambda: run(lambda t: t, lambda t: 1 // 0))
    attempt("unpack gives a number", lambda: run(lambda t: t, lambda t: 3))
    attempt("pack writes in place", lambda: run(lambda t: t.mul_(2), lambda t: t))
    attempt("pack without argument", lambda: run(lambda: 1, lambda t: t))
    return x


@case
def saved_tensors_hooks_disabled():
    with graph.disable_saved_tensors_hooks("not here"):
        attempt("use", lambda: graph.saved_tensors_hooks(lambda t: t, lambda t: t).__enter__())
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        attempt("disable inside", lambda: graph.disable_saved_tensors_hooks("no").__enter__())
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        (x * x).backward()
    return x.grad


@case
def saved_on_cpu():
    x = leaf(2.0, 3.0)
    with graph.save_on_cpu():
        y = (x * x).exp()
    with torch.no_grad():
        x.mul_(10)
    y.sum().backward()
    return x.grad


@case
def packed_tensors_may_be_written():
    """Versions are not followed through hooks."""
    x = leaf(2.0)
    z = x * 1
    with graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = z * z
    z.mul_(5)
    y.backward()
    return x.grad


@case
def packed_values_die_with_the_graph():
    class Box:
        def __init__(self, tensor):
            self.tensor = tensor

    boxes = []

    def pack(t):
        box = Box(t.detach())
        boxes.append(weakref.ref(box))
        return box

    x = leaf(2.0)
    with graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        y = x.exp()
        z = x.exp()
    before = [box() is not None for box in boxes]
    y.backward()
    del z
    gc.collect()
    return before, [box() is not None for box in boxes]


@case
def raw_saved_tensors():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, None)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2 * ctx.saved_tensors[0]

    x = leaf(3.0)
    y = Square.apply(x)
    saved = y.grad_fn._raw_saved_tensors[0]
    saved.register_hooks(lambda t: t * 10, lambda t: t)
    attempt("twice", lambda: saved.register_hooks(lambda t: t, lambda t: t))
    y.backward()
    attempt("after release", lambda: saved.register_hooks(lambda t: t, lambda t: t))
    return x.grad


@case
def increment_version():
    x = leaf(1.0)
    y = x * 1
    z = y * y
    graph.increment_version(y)
    return y._version, attempt("backward", lambda: z.backward())


@case
def views_of_modes():
    w = torch.ones(4, requires_grad=True)
    with torch.no_grad():
        v = w.view(2, 2)
    facts = v.requires_grad, v.is_leaf, v.grad_fn
    z = w * 1
    with torch.no_grad():
        u = z.view(2, 2)
    z.mul_(2)
    attempt("grad_fn of a view made in no_grad", lambda: u.grad_fn)
    attempt("its use", lambda: u * 2)
    attempt("requires_grad", lambda: u.requires_grad)
    plain = torch.zeros(4)
    with torch.no_grad():
        part = plain[:2]
    attempt("write to it", lambda: part.mul_(w[:2]))
    chunks = (w * 1).chunk(2)
    chunks[0]._base.mul_(2)
    attempt("one of several views", lambda: chunks[0].grad_fn)
    x = torch.ones(2)
    with torch.inference_mode():
        y = x.view(-1)
        x.add_(1)
    return facts, x.is_inference(), y.is_inference(), x


@case
def modules_trained_by_threads():
    """Each with its own hooks and numbers of threads; all end where one alone does."""
    nn = torch.nn

    def train():
        w = (torch.arange(12.0).view(3, 4) / 10).sin().requires_grad_()
        v = (torch.arange(4.0) / 10).cos().requires_grad_()
        F = custom(lambda ctx, x: x * 2, lambda ctx, g: g * 2)
        seen = []
        w.register_hook(lambda g: seen.append(1))
        for _ in range(30):
            y = F.apply(nn.functional.gelu(w)) @ v
            y.exp().sum().backward()
            with torch.no_grad():
                for p in (w, v):
                    p -= 0.01 * p.grad
                    p.grad = None
        results.append((len(seen), w.detach().clone(), v.detach().clone()))

    results = []
    train()
    threads = [threading.Thread(target=train) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count, w, v = results[0]
    same = [n == count and torch.equal(a, w) and torch.equal(b, v) for n, a, b in results]
    return count, same


@case
def a_shared_leaf_trained_by_threads():
    w = leaf(1.0, 2.0)

    def work():
        for _ in range(50):
            (w * 3).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return w.grad


def accumulate_after(change):
    """A second backward, after the leaf has become another tensor."""
    x = torch.ones(2, 3, requires_grad=True)
    (x * 2).sum().backward()
    change(x)
    (x * 3).sum().backward()
    return str(x.grad.dtype)[6:], x.grad


def become(data):
    def change(x):
        x.data = data

    return change


@case
def a_transposed_leaf_keeps_no_sum():
    def change(x):
        with torch.no_grad():
            x.transpose_(0, 1)

    return accumulate_after(change)


@case
def a_larger_leaf_keeps_no_sum():
    return accumulate_after(become(torch.ones(4, 2, 3)))


@case
def a_leaf_of_other_extents_keeps_no_sum():
    return accumulate_after(become(torch.ones(4)))


@case
def a_smaller_leaf_is_broadcast_into_the_sum():
    with warnings.catch_warnings():  # PyTorch warns
        warnings.simplefilter("ignore")
        return accumulate_after(become(torch.ones(3)))


@case
def a_wider_leaf_is_rounded_into_the_sum():
    return accumulate_after(become(torch.ones(2, 3, dtype=torch.float64)))


@case
def a_narrower_leaf_is_added_to_the_sum():
    return accumulate_after(become(torch.ones(2, 3, dtype=torch.float16)))


@case
def a_tensor_that_gives_its_shape_gets_no_gradient():
    x, p = torch.ones(4), torch.ones(2, 2, requires_grad=True)
    views = x.view_as(p), x.reshape_as(p), x[:2].expand_as(p), x.type_as(p)
    return tuple(v.requires_grad for v in views)
