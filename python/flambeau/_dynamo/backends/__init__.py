"""Backends of flambeau.compile: names of the one compiler that there is."""

from flambeau._absent import attribute

__getattr__ = attribute(__name__)
