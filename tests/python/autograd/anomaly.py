"""Anomaly mode: NaN in backward is an error that names the node, and the user's line is told."""

import re
import warnings


def run(function, enable=True, **options):
    """The error's name and node, and which marked lines the warnings show."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.autograd.set_detect_anomaly(enable, **options):
            try:
                function()
                error = None
            except Exception as e:
                error = type(e).__name__, re.findall(r"'(\w+)'|(\d+)th output", str(e))
    text = "\n".join(str(w.message) for w in caught)
    return error, re.findall(r"Error detected in (\w+)", text), re.findall(r"# (line \d)", text)


def square_root():
    x = leaf(-1.0, 4.0)
    y = x.sqrt()  # line 1
    (y * 2).sum().backward()  # line 2


def second_order():
    x = leaf(0.0)
    (g,) = torch.autograd.grad(x.sqrt(), x, create_graph=True)  # line 3
    (g * 0).sum().backward()


def error_in_backward():
    F = custom(lambda ctx, x: x * 2, lambda ctx, g: 1 // 0)
    F.apply(leaf(1.0)).backward()  # line 4


show("nan", run(square_root))
show("nan, off", run(square_root, False))
show("nan, unchecked", run(square_root, check_nan=False))
show("error in backward", run(error_in_backward))
show("second order", run(second_order)[0][0])


@case
def forward_outside():
    x = leaf(-1.0)
    y = x.sqrt()
    return run(lambda: y.backward())


@case
def modes():
    seen = [torch.is_anomaly_enabled()]
    with torch.autograd.set_detect_anomaly(True):
        seen.append(torch.is_anomaly_enabled())
        with torch.autograd.set_detect_anomaly(False):
            seen.append(torch.is_anomaly_enabled())
        seen.append(torch.is_anomaly_check_nan_enabled())
    with torch.autograd.detect_anomaly(check_nan=False):
        seen += [torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()]
    seen.append(torch.is_anomaly_enabled())
    torch.autograd.set_detect_anomaly(True)
    seen.append(torch.is_anomaly_enabled())
    torch.autograd.set_detect_anomaly(False)
    return seen
