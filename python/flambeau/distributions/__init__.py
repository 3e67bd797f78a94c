"""Probability distributions: so far the sets that their parameters and values are in."""

from flambeau._absent import attribute
from flambeau.distributions import constraints

__all__ = ["constraints"]

__getattr__ = attribute(__name__)
