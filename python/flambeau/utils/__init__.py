"""Utilities: data loading, hooks, exchange with other libraries."""

from flambeau.utils import dlpack

__all__ = ["dlpack"]
