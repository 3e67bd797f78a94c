"""Tensor files (safetensors) and checkpoints. Nothing here unpickles: a file is data, not code."""

from flambeau._absent import attribute
from flambeau.io.checkpoint import load_checkpoint, save_checkpoint
from flambeau.io.safetensors import load_file, load_metadata, save_file

__all__ = ["load_checkpoint", "load_file", "load_metadata", "save_checkpoint", "save_file"]

__getattr__ = attribute(__name__)
