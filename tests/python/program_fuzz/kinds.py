"""The kinds of lines that random programs have. Each takes the maker and gives the line's text."""

from __future__ import annotations

import flambeau as torch
from calls import overlaps_nothing
from programs import FLOATS, Kind, ProgramMaker, indented

NUMPY_DTYPES = (*(d for d in FLOATS if d != torch.bfloat16), torch.int64, torch.int32, torch.bool)

UNARY = """exp sin tanh sigmoid abs neg square relu log1p sqrt cos erf reciprocal rsqrt floor
sign expm1 softplus""".split()
VIEWS = [  # of a: any, m: two axes or more, n: one axis or more
    ("transpose", "{m}.transpose(0, -1)"),
    ("permute", "{m}.permute(*reversed(range({m}.dim())))"),
    ("mT", "{m}.mT"),
    ("unsqueeze", "{a}.unsqueeze(-1)"),
    ("none index", "{a}[None]"),
    ("squeeze", "{a}.squeeze()"),
    ("flatten", "{n}.flatten()"),
    ("slice", "{n}[1:]"),
    ("slice end", "{n}[..., :-1]"),
    ("slice step", "{n}[::2]"),
    ("select", "{n}[0]"),
    ("select last", "{n}[..., -1]"),
    ("view", "{a}.view(-1)"),
    ("reshape", "{a}.reshape(-1)"),
    ("view_as", "{a}.view_as({a})"),
    ("expand", "{a}.expand(3, *{a}.shape)"),
    ("narrow", "{n}.narrow(0, 0, 1)"),
    ("unfold", "{n}.unfold(0, 2, 1)"),
    ("diagonal", "{m}.diagonal(0, -2, -1)"),
    ("chunk", "{n}.chunk(2, -1)[0]"),
    ("split", "{n}.split(1)[-1]"),
    ("unbind", "{n}.unbind(0)[0]"),
    ("movedim", "{m}.movedim(0, -1)"),
    ("swapaxes", "{m}.swapaxes(0, 1)"),
    ("detach", "{a}.detach()"),
    ("data", "{a}.data"),
    ("as_strided", "{n}.as_strided((2,), (1,), 0)"),
    ("real", "torch.view_as_complex(torch.stack([{a}.float(), {a}.float()], -1)).real"),
    ("bits", "{f}.float().nan_to_num().view(torch.int32)"),
    ("contiguous", "{m}.transpose(0, 1).contiguous()"),
]
LAYERS = (
    "F.layer_norm(h + F.linear(h, w), (wide,))",
    "F.layer_norm(h + F.linear(F.gelu(F.linear(h, w)), w), (wide,))",
    "h + F.dropout(F.gelu(F.linear(h, w)), 0.3)",
    "F.rms_norm(F.linear(h, w) + h, (wide,))",
    "F.silu(F.linear(h, w)) * F.linear(h, ramp) + h",
    "F.softmax(F.linear(h, w), -1)",
    "F.linear(h, w).sigmoid() * h.exp()",
    "F.batch_norm(F.linear(h, w).reshape(-1, wide), None, None, training=True).view_as(h)",
)
MASKS = [  # of scores
    ("none", "{scores}"),
    ("masked_fill", "{scores}.masked_fill({scores} < 0, -1e4)"),
    ("where", "torch.where({scores}.tril() == {scores}, {scores}, -1e4)"),
    ("added row", "({scores} + {key}.sum(-1).unsqueeze(-2))"),
    ("number", "({scores} * 0.5 - 1)"),
]
IN_PLACE = [  # a: what is written, b: broadcasts to it
    ("add_", "{a}.add_({b})"),
    ("add_ alpha", "{a}.add_({b}, alpha=2)"),
    ("mul_", "{a}.mul_({b})"),
    ("sub_ number", "{a}.sub_(1)"),
    ("+=", "{a} += {b}"),
    ("*= number", "{a} *= 0.5"),
    ("copy_", "{a}.copy_({b})"),
    ("fill_", "{a}.fill_(1.5)"),
    ("zero_", "{a}.zero_()"),
    ("clamp_", "{a}.clamp_(-1, 1)"),
    ("relu_", "{a}.relu_()"),
    ("exp_", "{a}.exp_()"),
    ("masked_fill_", "{a}.masked_fill_({a} > 0.5, 2)"),
    ("mask assignment", "{a}[{a} > 0.5] = 0"),
    ("index assignment", "{n}[0] = 1"),
    ("slice assignment", "{n}[1:] = {n}[:-1].clone()"),
    ("slice +=", "{n}[..., :1] += 1"),
    ("step assignment", "{n}[::2] = 3"),
    ("copy of a slice", "{n}[:-1].copy_({n}[-1:])"),
    ("ellipsis assignment", "{a}[...] = {b}"),
    ("list assignment", "{n}[[0, 0]] = {n}[[-1, 0]]"),
    ("out", "torch.add({b}, 1, out={a})"),
    ("out unary", "torch.exp({a}, out={a})"),
    ("write of a transpose", "{m}.transpose(0, -1).mul_(2)"),
    ("write of a flat view", "{a}.view(-1)[:1].add_(1)"),
    ("write of a diagonal", "{m}.diagonal(0, 0, 1).zero_()"),
    ("transpose_", "{m}.transpose_(0, 1)"),
    ("unsqueeze_", "{a}.unsqueeze_(0)"),
    ("squeeze_", "{a}.squeeze_()"),
    ("data write", "{a}.data.mul_(0.5)"),
    ("detached write", "{a}.detach().add_(1)"),
    ("index_fill_", "{n}.index_fill_(0, torch.tensor([0]), 2)"),
    ("index_add_", "{n}.index_add_(0, torch.tensor([0]), {n}[:1].clone())"),
    ("addcmul_", "{f}.addcmul_({f}, {f}, value=0.5)"),
    ("lerp_", "{f}.lerp_({f}.detach() + 1, 0.25)"),
    ("cumsum_", "{n}.cumsum_(0)"),
    ("uniform_", "{f}.uniform_()"),
    ("normal_", "{f}.normal_()"),
    ("bernoulli_", "{f}.bernoulli_(0.5)"),
]
READS = [
    ("item", "log.append({a}.sum().item())"),
    ("float", "log.append(float({f}.mean()))"),
    ("bool", "log.append(bool(({a} == {a}).all()))"),
    ("tolist", "log.append(repr({a}.tolist()))"),
    ("repr", "log.append(repr({a}))"),
    ("numpy", "log.append(repr({a}.detach().clone().numpy().sum()))"),
    ("held numpy", "held.append({p}.detach().numpy())"),
    ("int index", "log.append(int({f}.argmax()))"),
    ("equal", "log.append(torch.equal({a}, {a} + 0))"),
    ("nonzero", "log.append(len({a}.nonzero()))"),
    ("shape", "log.append(tuple({a}.shape))"),
    ("data_ptr", "log.append({a}.data_ptr() == {a}.detach().data_ptr())"),
    ("version", "log.append({a}._version)"),
]
RANDOM = [
    ("rand_like", "torch.rand_like({f})"),
    ("randn", "torch.randn({a}.shape)"),
    ("dropout", "F.dropout({f}, 0.4)"),
    ("bernoulli", "torch.bernoulli(torch.full({a}.shape, 0.5))"),
    ("randint", "torch.randint(0, 9, {a}.shape)"),
    ("randperm", "torch.randperm(5)"),
    ("multinomial", "torch.multinomial(torch.ones(4), 2)"),
    ("attention with dropout", "F.scaled_dot_product_attention({m}, {m}, {m}, None, 0.3)"),
]

AUTOGRAD = (
    "backward|backward|grad|create_graph|hook|function|zero grad|drop grad|sgd|adamw|"
    "accumulate hook|retain_grad"
).split("|")


BRANCHES = ("if", "if any", "if nan", "for", "while", "early", "conditional")


def anything(t: object) -> bool:
    return True


def filled(maker: ProgramMaker, form: str, written: bool = False) -> str:
    """The form with names of values: a any, n of a rank >= 1, m >= 2, f float, p real, b fitting a."""
    names = {}
    wanted = overlaps_nothing if written else anything
    if "{n}" in form:
        names["n"] = maker.rank(1, wanted)
    if "{m}" in form:
        names["m"] = maker.rank(2, wanted)
    if "{f}" in form:
        names["f"] = maker.any(lambda t: t.dtype in FLOATS and wanted(t))
    if "{p}" in form:
        names["p"] = maker.any(lambda t: t.dtype in NUMPY_DTYPES)
    names["a"] = maker.any(wanted) if "{a}" in form or "{b}" in form else ""
    if "{b}" in form:
        names["b"] = maker.fitting(names["a"])
    return form.format(**names)


def operation(maker: ProgramMaker) -> str:
    return maker.operation()


def pointwise(maker: ProgramMaker) -> str:
    a = maker.any()
    if maker.rng.random() < 0.4:
        name = maker.rng.choice(UNARY)
        call = f"F.{name}({a})" if name == "softplus" else f"torch.{name}({a})"
    elif maker.rng.random() < 0.3:
        call = f"torch.where({a} > 0, {a}, {maker.rng.choice(('-1', a + ' * 2'))})"
    else:
        b = maker.rng.choice((maker.fitting(a), maker.fitting(a), "2", "0.5", "-1"))
        call = f"{a} {maker.rng.choice(('+', '-', '*', '/', '>', '=='))} {b}"
        call = maker.rng.choice((call, call, f"torch.maximum({a}, {a} * {b})"))
    name = maker.any() if maker.rng.random() < 0.1 else maker.new()  # an old name: its value dies
    return f"{name} = {call}"


def rows(maker: ProgramMaker) -> str:
    """Reductions, normalisations and products."""
    a, m = maker.float(), maker.rank(2)
    call = maker.rng.choice(
        (
            f"{a}.sum()",
            f"{a}.mean(-1, keepdim=True)",
            f"{a}.sum(0)",
            f"{a}.amax(-1)",
            f"{a}.softmax(-1)",
            f"F.log_softmax({a}, -1)",
            f"F.layer_norm({a}, {a}.shape[-1:])",
            f"F.gelu({a})",
            f"{a}.var(-1)",
            f"{a}.norm()",
            f"{m} @ {m}.mT",
            f"{m}.mT @ {m}",
            f"torch.cat([{a}, {a}], -1)",
            f"torch.stack([{a}, {a} * 2])",
            f"{a}.cumsum(-1)",
            f"F.linear({m}, {m})",
            f"F.cross_entropy({a}, torch.zeros({a}.shape[0], dtype=torch.long))",
        )
    )
    maker.tag("other", "rows")
    return f"{maker.new()} = {call}"


def attention(maker: ProgramMaker) -> str:
    """Written out, with a mask of some kind, of one tensor or of a query and keys."""
    key = maker.rank(2, lambda t: t.dtype in FLOATS)
    query = maker.rng.choice((key, f"{key}[..., :1, :]", f"({key} * 2)"))
    scores = maker.rng.choice((f"{query} @ {key}.mT", f"({query} @ {key}.mT) / 2"))
    name, mask = maker.rng.choice(MASKS)
    weights = f"F.softmax({mask.format(scores=f'({scores})', key=key)}, -1)"
    if maker.rng.random() < 0.4:
        weights = f"F.dropout({weights}, 0.3)"
    maker.tag("attention", name)
    return f"{maker.new()} = {weights} @ {key}"


def training(maker: ProgramMaker) -> str:
    """Forward and backward of some layers, of which some are frozen: values that a memory budget
    makes programs compute again."""
    h = maker.rank(2, lambda t: t.dtype in FLOATS and t.shape[-1] < 20)
    result = maker.new()
    lines = [
        f"wide = {h}.shape[-1]",
        f"ramp = torch.linspace(-1, 1, wide * wide).to({h}.dtype).reshape(wide, wide)",
        f"layers = [(ramp * (i + 1) / 4).requires_grad_(i % {maker.rng.choice((1, 2, 3))} == 0)"
        f" for i in range({maker.rng.randint(3, 7)})]",
        f"h = {h}",
        "for w in layers:",
    ]
    lines += [f"    h = {maker.rng.choice(LAYERS)}" for _ in range(maker.rng.choice((1, 1, 2)))]
    lines.append("(h * h).sum().backward(retain_graph=True)")
    lines.append(f"{result} = torch.stack([w.grad for w in layers if w.grad is not None])")
    maker.tag("other", "training")
    return "\n".join(lines)


def mixed_precision(maker: ProgramMaker) -> str:
    dtype = maker.rng.choice(("bfloat16", "bfloat16", "float16"))
    caches = "" if maker.rng.random() < 0.8 else ", cache_enabled=False"
    text = maker.rng.choice((training, training, attention, rows, pointwise))(maker)
    maker.tag("other", "autocast")
    region = f'with torch.autocast("cpu", dtype=torch.{dtype}{caches}):\n'
    return region + indented(text)


def view(maker: ProgramMaker) -> str:
    name, form = maker.rng.choice(VIEWS)
    if (
        maker.general and name == "unfold"
    ):  # of other sizes it may overlap itself where it is written
        raise IndexError
    maker.tag("view", name)
    return f"{maker.new()} = {filled(maker, form)}"


def in_place(maker: ProgramMaker) -> str:
    name, form = maker.rng.choice(IN_PLACE)
    maker.tag("in place", name)
    text = filled(maker, form, written=True)
    if maker.rng.random() < 0.3:
        maker.tag("other", "no_grad")
        text = "with torch.no_grad():\n" + indented(text)
    return text


def read(maker: ProgramMaker) -> str:
    name, form = maker.rng.choice(READS)
    maker.tag("read", name)
    return filled(maker, form)


def random_numbers(maker: ProgramMaker) -> str:
    name, form = maker.rng.choice(RANDOM)
    maker.tag("random", name)
    return f"{maker.new()} = {filled(maker, form)}"


def inner(maker: ProgramMaker) -> str:
    """A line for a block: it makes no new name."""
    if maker.rng.random() < 0.4:
        return in_place(maker)
    a = maker.float()
    return f"{a} = " + maker.rng.choice(
        (f"torch.sin({a})", f"{a} * 2", f"{a} + {a}", f"F.gelu({a})")
    )


def branch(maker: ProgramMaker) -> str:
    a = maker.float()
    form = maker.rng.choice(BRANCHES)
    maker.tag("branch", form)
    one, other = indented(inner(maker)), indented(inner(maker))
    if form == "if":
        return f"if {a}.sum() > 0:\n{one}\nelse:\n{other}"
    if form == "if any":
        return f"if bool(({a} > 1).any()):\n{one}"
    if form == "if nan":
        mended = f"    {a} = torch.nan_to_num({a}, 0.5, 1, -1)"
        return f"if {a}.isnan().any() or {a}.isinf().any():\n{mended}\nelse:\n{other}"
    if form == "for":
        bound = f"int({a}.detach().float().nan_to_num(0, 1, 1).abs().clamp(0, 50).sum()) % 3"
        return f"for _ in range({bound}):\n{one}"
    if form == "while":
        test = f"turns < 3 and {a}.detach().abs().sum() > 1"
        return f"turns = 0\nwhile {test}:\n    {a} = {a} * 0.5\n    turns += 1"
    if form == "early":
        test = f"{a}.numel() > 0 and {a}.detach().flatten()[0].item() > 0.5"
        return f"if {test}:\n    del {a}\n    {a} = torch.ones(2, 2)"
    return f"{maker.new()} = {a} * 2 if {a}.max() > 0 else {a} - 1"


def backward(maker: ProgramMaker) -> str:
    a = maker.tracked()
    form = maker.rng.choice(AUTOGRAD)
    maker.tag("autograd", form)
    leaf = maker.any(lambda t: t.requires_grad and t.is_leaf and overlaps_nothing(t))
    if form == "backward":
        return f"{a}.float().sum().backward(retain_graph=True)"
    if form == "grad":
        return f"{maker.new()} = torch.autograd.grad(({a} * {a}).sum(), {a}, retain_graph=True)[0]"
    if form == "create_graph":
        g = maker.new()
        return (
            f"{g} = torch.autograd.grad(({a} * {a}.sin()).sum(), {a}, create_graph=True)[0]\n"
            f"{g}.sum().backward()"
        )
    if form == "hook":
        return f"{a}.register_hook(lambda g: g * 2)"
    if form == "function":
        return f"{maker.new()} = Double.apply({a})"
    if form == "zero grad":
        return f"if {leaf}.grad is not None:\n    {leaf}.grad.zero_()"
    if form == "drop grad":
        return f"{leaf}.grad = None"
    if form == "accumulate hook":
        return f"{leaf}.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(0.5))"
    if form == "retain_grad":
        return f"{a}.retain_grad()"
    made = "SGD([{0}], lr=0.1, momentum=0.9)" if form == "sgd" else "AdamW([{0}], fused=True)"
    return (
        f"({leaf} * {leaf}).sum().backward()\n"
        f"torch.nn.utils.clip_grad_norm_([{leaf}], 0.5)\n"
        f"torch.optim.{made.format(leaf)}.step()"
    )


def life(maker: ProgramMaker) -> str:
    form = maker.rng.choice(("del", "none", "rebind", "hold", "requires_grad_"))
    maker.tag("other", form)
    a = maker.any()
    if form == "del":
        return f"del {a}"
    if form == "none":
        return f"{a} = None" if a[0] == "v" else f"{maker.new()} = {a}"
    if form == "rebind":
        return f"{maker.new()} = {a}"
    if form == "hold":
        return f"held.append({a})"
    return f"{maker.float()}.requires_grad_()"


KINDS: list[tuple[Kind, int]] = [
    (operation, 40),
    (pointwise, 22),
    (rows, 8),
    (attention, 2),
    (training, 2),
    (mixed_precision, 2),
    (view, 14),
    (in_place, 12),
    (read, 4),
    (random_numbers, 4),
    (branch, 4),
    (backward, 7),
    (life, 4),
]
GENERAL: list[tuple[Kind, int]] = [
    (pointwise, 40),
    (rows, 14),
    (attention, 3),
    (training, 3),
    (mixed_precision, 3),
    (view, 14),
    (in_place, 12),
    (read, 3),
    (random_numbers, 4),
    (branch, 4),
    (backward, 7),
    (life, 4),
]
