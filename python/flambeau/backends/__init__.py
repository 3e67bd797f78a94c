"""What computes, and how it is set: libraries that Flambeau does not use answer "not available"."""

from flambeau._absent import attribute
from flambeau.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]

__getattr__ = attribute(__name__)
