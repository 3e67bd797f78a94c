"""torch.utils.checkpoint: both kinds, random numbers, nesting, errors, what is kept."""

import gc
import weakref

import_module = __import__("importlib").import_module
cp = import_module(torch.__name__ + ".utils.checkpoint")
checkpoint = cp.checkpoint
nn = torch.nn


class Counted:
    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


def both(label, function):
    for reentrant in (True, False):
        attempt(f"{label}, reentrant={reentrant}", lambda: function(reentrant))


def gradients(reentrant):
    f = Counted(lambda x, w: (x * w).exp().sin())
    x, w = leaf(0.5, 1.0), leaf(2.0, 3.0)
    y = checkpoint(f, x, w, use_reentrant=reentrant)
    calls = f.calls
    y.sum().backward()
    return y, x.grad, w.grad, calls, f.calls


both("gradients", gradients)


def closure(reentrant):
    """Parameters that are no arguments get gradients too."""
    w = leaf(2.0)
    x = leaf(3.0)
    checkpoint(lambda x: (x * w).exp(), x, use_reentrant=reentrant).backward()
    return x.grad, w.grad


both("closure", closure)


def no_input_requires_grad(reentrant):
    w = leaf(2.0)
    y = checkpoint(lambda x: (x * w).exp(), torch.ones(1), use_reentrant=reentrant)
    if y.requires_grad:
        y.backward()
    return y.requires_grad, w.grad


both("no input requires grad", no_input_requires_grad)


def random_numbers(reentrant, preserve=True):
    torch.manual_seed(3)
    x = torch.ones(1000, requires_grad=True)
    drawn = []

    def f(x):
        drawn.append(torch.rand(1000))
        return x * drawn[-1]

    y = checkpoint(f, x, use_reentrant=reentrant, preserve_rng_state=preserve)
    after = torch.rand(2)
    y.sum().backward()
    again = torch.rand(2)
    torch.manual_seed(3)
    torch.rand(1000)
    expected = torch.rand(2), torch.rand(2)
    same = torch.equal(drawn[0], drawn[1]), torch.equal(after, expected[0])
    return (*same, torch.equal(again, expected[1]), torch.equal(x.grad, drawn[0]))


both("random numbers", random_numbers)
both("other random numbers", lambda reentrant: random_numbers(reentrant, False)[:2])


def several(reentrant):
    def f(a, n, b, word, none):
        assert word == "s" and none is None
        return a * b, n, a.exp(), (a > 0)

    a, b = leaf(1.0), leaf(2.0)
    p, n, q, r = checkpoint(f, a, 5, b, "s", None, use_reentrant=reentrant)
    (p + q).backward()
    return p, n, q, r, a.grad, b.grad


both("several values", several)


def part_of_the_results(reentrant):
    def f(a):
        return a.exp(), a.sin()

    a = leaf(1.0)
    p, q = checkpoint(f, a, use_reentrant=reentrant)
    p.backward()
    return a.grad


both("part of the results", part_of_the_results)


def nested(reentrant):
    inner = Counted(lambda x: x.exp().sin())
    outer = Counted(lambda x: checkpoint(inner, x * 2, use_reentrant=reentrant).cos())
    x = leaf(0.5)
    checkpoint(outer, x, use_reentrant=reentrant).backward()
    return x.grad, inner.calls > 1, outer.calls


both("nested", nested)


def asked_gradients(reentrant):
    x = leaf(0.5)
    y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=reentrant)
    return torch.autograd.grad(y, x)


both("autograd.grad", asked_gradients)


def second_derivative(reentrant):
    x = leaf(0.5)
    y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=reentrant)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    g.backward()
    return g, x.grad


attempt("second derivative", lambda: second_derivative(False))


def twice(reentrant):
    x = leaf(0.5)
    f = Counted(lambda x: x.exp().sin())
    y = checkpoint(f, x, use_reentrant=reentrant)
    y.backward(retain_graph=True)
    y.backward()
    first = x.grad, f.calls
    attempt(f"a third time, reentrant={reentrant}", lambda: y.backward())
    return first


both("twice", twice)


def without_grad_mode(reentrant):
    f = Counted(lambda x: x.exp())
    with torch.no_grad():
        y = checkpoint(f, leaf(1.0), use_reentrant=reentrant)
    return y, y.requires_grad, f.calls


both("without grad mode", without_grad_mode)


def in_modules(reentrant):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 2))
    x = torch.arange(8.0).view(2, 4).requires_grad_()
    torch.manual_seed(1)
    net(x).sum().backward()
    plain = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    torch.manual_seed(1)
    checkpoint(net, x, use_reentrant=reentrant).sum().backward()
    return all(torch.equal(a, p.grad) for a, p in zip(plain, net.parameters()))


both("in modules", in_modules)


def sequential(reentrant):
    torch.manual_seed(0)
    calls = []

    def layer(i):
        return lambda x: (calls.append(i), (x * (i + 1)).sin())[1]

    x = leaf(0.1, 0.2)
    y = cp.checkpoint_sequential([layer(i) for i in range(5)], 2, x, use_reentrant=reentrant)
    y.sum().backward()
    net = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 1))
    z = cp.checkpoint_sequential(net, 3, x, use_reentrant=reentrant)
    same = torch.equal(z, net(x))
    return y, x.grad, calls, same


both("sequential", sequential)

attempt("use_reentrant left out", lambda: checkpoint(lambda x: x * 2, leaf(1.0)))
attempt(
    "sequential, use_reentrant left out",
    lambda: cp.checkpoint_sequential([lambda x: x * 2], 1, leaf(1.0)),
)
attempt(
    "keyword arguments, reentrant",
    lambda: checkpoint(lambda x, k: x * k, leaf(1.0), use_reentrant=True, k=2),
)
attempt(
    "keyword arguments",
    lambda: checkpoint(lambda x, k: x * k, leaf(1.0), use_reentrant=False, k=2),
)
attempt(
    "context_fn, reentrant",
    lambda: checkpoint(lambda x: x, leaf(1.0), use_reentrant=True, context_fn=lambda: None),
)
attempt(
    "unknown determinism check",
    lambda: checkpoint(lambda x: x, leaf(1.0), use_reentrant=False, determinism_check="some"),
)


def changing(second):
    calls = []

    def f(x):
        calls.append(1)
        return x.exp().sin() if len(calls) == 1 else second(x)

    return f


def run_changing(second, **options):
    y = checkpoint(changing(second), leaf(1.0, 2.0), use_reentrant=False, **options)
    y.sum().backward()


attempt("fewer saved", lambda: run_changing(lambda x: x.exp()))
attempt("more saved", lambda: run_changing(lambda x: x.exp().sin().cos()))
attempt("other shape", lambda: run_changing(lambda x: x[:1].exp().sin()))
attempt("other dtype", lambda: run_changing(lambda x: x.double().exp().sin()))
attempt(
    "other dtype, unchecked",
    lambda: run_changing(lambda x: x[:1].exp().sin(), determinism_check="none"),
)
attempt("other shape, debug", lambda: run_changing(lambda x: x[:1].exp().sin(), debug=True))


@case
def more_saved_without_early_stop():
    with cp.set_checkpoint_early_stop(False):
        run_changing(lambda x: x.exp().sin().cos())


@case
def early_stop():
    def count(enable):
        calls = []
        with cp.set_checkpoint_early_stop(enable):
            y = checkpoint(
                lambda x: (x.exp().sin() * 1, calls.append(1))[0], leaf(1.0), use_reentrant=False
            )
        y.backward()
        return len(calls)

    return count(True), count(False)


@case
def contexts():
    log = []

    class Log:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append("enter " + self.name)

        def __exit__(self, *_):
            log.append("exit " + self.name)

    y = checkpoint(
        lambda x: x.exp(),
        leaf(1.0),
        use_reentrant=False,
        context_fn=lambda: (Log("forward"), Log("recompute")),
    )
    y.backward()
    return log


@case
def nothing_inside_is_kept():
    made = []

    def f(x):
        y = x.exp()
        made.append(weakref.ref(y))
        z = y.sin()
        return z * z

    x = leaf(1.0)
    y = checkpoint(f, x, use_reentrant=False)
    gc.collect()
    gone = made[0]() is None
    y.backward()
    gc.collect()
    return gone, [ref() is None for ref in made], x.grad


@case
def error_inside():
    calls = []

    def f(x):
        calls.append(1)
        return x.exp() if len(calls) == 1 else 1 // 0

    attempt("in the second run", lambda: checkpoint(f, leaf(1.0), use_reentrant=False).backward())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    attempt("in the first run", lambda: checkpoint(f, leaf(1.0), use_reentrant=False))
    return torch.equal(state, torch.get_rng_state()), torch.is_grad_enabled()


@case
def detached():
    attempt("of a list", lambda: cp.detach_variable([leaf(1.0)]))
    a, n, b = cp.detach_variable((leaf(1.0) * 2, 3, torch.ones(1)))
    return a.requires_grad, a.is_leaf, n, b.requires_grad


@case
def output_without_grad_reentrant():
    y = checkpoint(lambda x: x.detach(), leaf(1.0), use_reentrant=True)
    y.backward()


@case
def in_place_inside():
    x = leaf(1.0, 2.0)
    checkpoint(lambda x: (x * 2).mul_(3).exp(), x, use_reentrant=False).sum().backward()
    return x.grad


@case
def custom_functions_inside():
    F = custom(
        lambda ctx, x: (ctx.save_for_backward(x.exp()), x.exp())[1],
        lambda ctx, g: g * ctx.saved_tensors[0],
    )
    x = leaf(1.0, 2.0)
    checkpoint(lambda x: F.apply(x).sin(), x, use_reentrant=False).sum().backward()
    return x.grad
