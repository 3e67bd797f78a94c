"""What passes are made of."""

from flambeau._absent import attribute

__getattr__ = attribute(__name__)
