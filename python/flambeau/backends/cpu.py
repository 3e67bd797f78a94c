"""The CPU."""

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """The instruction set that kernels are made for."""
    return "DEFAULT"
