"""What PyTorch keeps under this name that libraries ask for."""

from flambeau._absent import attribute

__getattr__ = attribute(__name__)
