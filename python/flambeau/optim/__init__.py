"""Optimisers and learning-rate schedules."""

from flambeau._absent import attribute
from flambeau.optim import lr_scheduler, optimizer, swa_utils
from flambeau.optim.adafactor import Adafactor
from flambeau.optim.adam import Adam, AdamW
from flambeau.optim.adaptive import Adadelta, Adagrad, Adamax, RMSprop
from flambeau.optim.lbfgs import LBFGS
from flambeau.optim.nadam import NAdam, RAdam
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.others import ASGD, Rprop
from flambeau.optim.sgd import SGD
from flambeau.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "optimizer",
    "swa_utils",
]

__getattr__ = attribute(__name__)
