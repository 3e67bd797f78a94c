"""autograd.Function: inputs and views returned, and inputs written in place."""

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
def returns_input():
    def forward(ctx, x):
        return x

    def backward(ctx, grad):
        return grad * 5

    x = leaf(1.0, 2.0)
    y = custom(forward, backward).apply(x)
    facts = y is x, y.data_ptr() == x.data_ptr(), y.grad_fn.name(), y.is_leaf, y._base is x
    y.sum().backward()
    attempt("in-place on a returned input", lambda: y.mul_(2))
    return (*facts, x.grad, x.grad_fn)


@case
def returns_input_that_needs_no_grad():
    def forward(ctx, x, y):
        return x, y * 2

    x = torch.ones(1)
    a, b = custom(forward, lambda ctx, g, h: (g, h * 2)).apply(x, leaf(1.0))
    return a is x, a.requires_grad, b.requires_grad, a.grad_fn is b.grad_fn


@case
def returns_view():
    def forward(ctx, x):
        return x.view(-1)

    def backward(ctx, grad):
        return grad.view(2, 2) * 7

    x = torch.ones(2, 2, requires_grad=True)
    y = custom(forward, backward).apply(x)
    y.sum().backward()
    attempt("in-place on a returned view", lambda: y.mul_(2))
    return y.data_ptr() == x.data_ptr(), y.grad_fn.name(), y._base is x, x.grad


@case
def returns_view_of_non_leaf():
    def forward(ctx, x):
        return x.view(-1)

    def backward(ctx, grad):
        return grad.view(2, 2) * 7

    x = torch.ones(2, 2, requires_grad=True)
    z = x * 1
    y = custom(forward, backward).apply(z)
    attempt("write to its base", lambda: z.mul_(2))
    return attempt("then use it", lambda: (y.sum().backward(), x.grad)[1])


@case
def dirty_input():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    def backward(ctx, grad):
        return grad * 3

    x = leaf(1.0, 2.0)
    z = x * 1
    version = z._version
    y = custom(forward, backward).apply(z)
    facts = y is z, z.grad_fn.name(), z._version - version
    (y * z).sum().backward()
    return (*facts, y, x.grad)


@case
def dirty_leaf():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    F = custom(forward, lambda ctx, g: g * 3)
    attempt("dirty leaf that needs grad", lambda: F.apply(leaf(1.0)))
    plain = torch.ones(2)
    y = F.apply(plain)
    return y is plain, y, y.requires_grad


@case
def dirty_input_takes_part():
    """An in-place write of what needs no gradient, by something that does."""

    def forward(ctx, a, b):
        ctx.mark_dirty(a)
        return a.add_(b)

    a, b = torch.ones(2), leaf(1.0, 2.0)
    y = custom(forward, lambda ctx, g: (g, g * 2)).apply(a, b)
    y.sum().backward()
    return y is a, a.requires_grad, a.grad_fn.name(), b.grad


@case
def dirty_view():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    def backward(ctx, grad):
        return grad * 3

    x = torch.arange(4.0).requires_grad_()
    base = x * 1
    part = base[1:3]
    y = custom(forward, backward).apply(part)
    (base * torch.arange(1.0, 5.0)).sum().backward()
    return y is part, base, x.grad, base.grad_fn.name()


@case
def dirty_view_of_plain_base():
    def forward(ctx, a, b):
        ctx.mark_dirty(a)
        return a.add_(b)

    base, b = torch.zeros(3), leaf(1.0, 2.0)
    custom(forward, lambda ctx, g: (g, g * 2)).apply(base[1:], b)
    base.sum().backward()
    return base, base.requires_grad, b.grad


@case
def dirty_view_and_another_output():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x, x * 2

    base = leaf(1.0, 2.0) * 1
    return custom(forward, lambda ctx, g, h: g * 3).apply(base[:1])


@case
def dirty_and_another_output():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x, x * 2

    x = leaf(1.0, 2.0)
    z = x * 1
    a, b = custom(forward, lambda ctx, g, h: g * 3 + h * 6).apply(z)
    (a + b).sum().backward()
    return a is z, x.grad, a.output_nr, b.output_nr


@case
def dirty_but_not_returned():
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x * 2

    x = leaf(1.0)
    y = custom(forward, lambda ctx, g: g * 6).apply(x * 1)
    y.backward()
    return x.grad


@case
def dirty_that_is_no_input():
    def forward(ctx, x):
        y = x * 2
        ctx.mark_dirty(y)
        return y

    x = leaf(1.0)
    custom(forward, lambda ctx, g: g * 2).apply(x).backward()
    return x.grad


@case
def saved_input_was_modified():
    x = leaf(1.0, 2.0)
    z = x * 1
    y = Product.apply(z, z)
    z.mul_(2)
    return y.sum().backward()


@case
def saved_output_was_modified():
    y = Exp.apply(leaf(1.0))
    y.mul_(2)
    return y.sum().backward()


@case
def in_place_on_a_result():
    x = leaf(1.0, 2.0)
    y = Product.apply(x, torch.tensor([2.0, 3.0]))
    y.mul_(10)
    y.sum().backward()
    return x.grad, y


@case
def in_place_on_one_of_two_results():
    x = leaf(1.0, 2.0)
    a, b = custom(lambda ctx, x: (x * 2, x * 3), lambda ctx, g, h: g * 2 + h * 3).apply(x)
    a.mul_(10)
    (a + b).sum().backward()
    return x.grad


@case
def in_place_on_one_of_two_views():
    x = leaf(1.0, 2.0) * 1
    a, b = custom(lambda ctx, x: (x[:1], x[1:]), lambda ctx, g, h: torch.cat([g, h])).apply(x)
    return a.mul_(10)


@case
def returns_input_without_recording():
    F = custom(lambda ctx, x: x, lambda ctx, g: g)
    x, w = torch.ones(1), leaf(1.0)
    y = F.apply(x)
    with torch.no_grad():
        z = F.apply(w)
    return y is x, y._base is x, z is w, z._base is w, z.requires_grad


@case
def version_of_dirty():
    def forward(ctx, x):
        with torch.no_grad():
            x.data.mul_(3)
        ctx.mark_dirty(x)
        return x

    z = leaf(1.0) * 1
    version = z._version
    custom(forward, lambda ctx, g: g).apply(z)
    return z._version - version


@case
def same_tensor_twice():
    def forward(ctx, x):
        y = x * 2
        return y, y

    x = leaf(1.0)
    a, b = custom(forward, lambda ctx, g, h: g + h * 10).apply(x)
    (a + b).backward()
    return a is b, x.grad, a.output_nr, b.output_nr


@case
def same_input_twice_returned():
    x = leaf(1.0)
    a, b = custom(lambda ctx, x: (x, x), lambda ctx, g, h: g + h * 10).apply(x)
    (a + b).backward()
    return a is b, x.grad, a.output_nr, b.output_nr
