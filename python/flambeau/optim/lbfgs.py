"""L-BFGS (Liu & Nocedal 1989), with a line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import flambeau
from flambeau import Tensor
from flambeau.optim.optimizer import Optimizer, as_real, check_not_negative

__all__ = ["LBFGS"]


class _Point(NamedTuple):
    """A point on the line: step, value, gradient, slope along the direction."""

    t: float
    f: float
    g: Tensor
    slope: float


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through values and slopes at both points is least, within the bounds."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    first = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = first**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    root = square**0.5
    if a.t > b.t:
        a, b = b, a
    position = b.t - (b.t - a.t) * ((b.slope + root - first) / (b.slope - a.slope + 2 * root))
    return min(max(position, low), high)


def _strong_wolfe(
    evaluate: Callable[[float], _Point],
    t: float,
    start: _Point,
    longest: float,
    tolerance_change: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    most: int = 25,
) -> tuple[_Point, int]:
    """A point with sufficient decrease and a flat slope (Nocedal & Wright, section 3.5), and the
    number of evaluations. `longest` is the direction's largest component.
    """
    before, new = start, evaluate(t)
    evaluations, iteration = 1, 0
    bracket: list[_Point] = []
    done = False
    while iteration < most:
        rises = new.f > start.f + c1 * new.t * start.slope
        if rises or (iteration > 1 and new.f >= before.f):
            bracket = [before, new]
            break
        if abs(new.slope) <= -c2 * start.slope:
            bracket, done = [new], True
            break
        if new.slope >= 0:
            bracket = [before, new]
            break
        bounds = (new.t + 0.01 * (new.t - before.t), new.t * 10)
        t = _cubic_minimum(before, new, bounds)
        before, new = new, evaluate(t)
        evaluations += 1
        iteration += 1
    if iteration == most:
        bracket = [start, new]

    stalled = False
    low, high = (0, 1) if bracket[0].f <= bracket[-1].f else (1, 0)
    while not done and iteration < most:
        left, right = sorted(point.t for point in bracket)
        if (right - left) * longest < tolerance_change:
            break
        t = _cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Near an end twice in a row, or outside: move away from it.
            if stalled or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        new = evaluate(t)
        evaluations += 1
        iteration += 1
        if new.f > start.f + c1 * t * start.slope or new.f >= bracket[low].f:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
        else:
            if abs(new.slope) <= -c2 * start.slope:
                done = True
            elif new.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
    return bracket[low if len(bracket) > 1 else 0], evaluations


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient. step() needs a
    closure, which it calls many times.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_not_negative(lr=("learning rate", lr))
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params: list[Any] = self.param_groups[0]["params"]

    def _gathered_grad(self) -> Tensor:
        return flambeau.cat(
            [
                as_real(flambeau.zeros_like(p) if p.grad is None else p.grad).reshape(-1)
                for p in self._params
            ]
        )

    def _move(self, start: list[Tensor], step: float, direction: Tensor) -> None:
        """Sets the parameters to start + step * direction."""
        offset = 0
        for parameter, value in zip(map(as_real, self._params), map(as_real, start)):
            count = parameter.numel()
            part = direction[offset : offset + count].view_as(parameter)
            parameter.copy_(value.add(part, alpha=step))
            offset += count

    def _direction(self, grad: Tensor, state: dict[str, Any], history_size: int) -> Tensor:
        """The two-loop recursion, after the last step has joined the history."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        change = grad - state["prev_flat_grad"]
        step = state["d"] * state["t"]
        curvature = float(change.dot(step))
        dirs, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        if curvature > 1e-10:
            if len(dirs) == history_size:
                for history in (dirs, steps, inverse):
                    history.pop(0)
            dirs.append(change)
            steps.append(step)
            inverse.append(1.0 / curvature)
            state["H_diag"] = curvature / float(change.dot(change))
        factors = [0.0] * len(dirs)
        result = grad.neg()
        for i in reversed(range(len(dirs))):
            factors[i] = float(steps[i].dot(result)) * inverse[i]
            result.add_(dirs[i], alpha=-factors[i])
        result.mul_(state["H_diag"])
        for i in range(len(dirs)):
            back = float(dirs[i].dot(result)) * inverse[i]
            result.add_(steps[i], alpha=factors[i] - back)
        return result

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def loss_and_grad() -> tuple[Any, Tensor]:
            with flambeau.enable_grad():
                value = closure()
            return value, self._gathered_grad()

        first_loss, grad = loss_and_grad()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        rate = float(group["lr"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(grad, state, group["history_size"])
            previous_loss = loss
            state["prev_flat_grad"] = grad.clone()
            t = min(1.0, 1.0 / float(grad.abs().sum())) * rate if state["n_iter"] == 1 else rate
            slope = float(grad.dot(direction))
            if slope > -group["tolerance_change"]:
                state.update(d=direction, t=t, prev_loss=previous_loss)
                break
            made = 0
            start = [parameter.clone() for parameter in self._params]
            if group["line_search_fn"] is None:
                self._move(start, t, direction)
                if iteration != group["max_iter"]:
                    value, grad = loss_and_grad()
                    loss = float(value)
                    made = 1
            elif group["line_search_fn"] == "strong_wolfe":
                line, origin = direction, start

                def at(
                    step: float, line: Tensor = direction, origin: list[Tensor] = start
                ) -> _Point:
                    self._move(origin, step, line)
                    value, there = loss_and_grad()
                    return _Point(step, float(value), there, float(there.dot(line)))

                found, made = _strong_wolfe(
                    at,
                    t,
                    _Point(0.0, loss, grad.clone(), slope),
                    float(direction.abs().max()),
                    group["tolerance_change"],
                )
                t, loss, grad = found.t, found.f, found.g
                self._move(origin, t, line)
            else:
                raise RuntimeError("only 'strong_wolfe' is supported")
            evaluations += made
            state["func_evals"] += made
            state.update(d=direction, t=t, prev_loss=previous_loss)
            if (
                evaluations >= group["max_eval"]
                or bool(grad.abs().max() <= group["tolerance_grad"])
                or float((direction * t).abs().max()) <= group["tolerance_change"]
                or abs(loss - previous_loss) < group["tolerance_change"]
            ):
                break
        return first_loss
