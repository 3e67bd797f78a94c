"""Optimisers and learning-rate schedules."""

from flambeau._absent import attribute
from flambeau.optim import lr_scheduler, optimizer, swa_utils
from flambeau.optim.adam import Adam, AdamW
from flambeau.optim.adaptive import Adadelta, Adagrad, Adamax, RMSprop
from flambeau.optim.lbfgs import LBFGS
from flambeau.optim.nadam import NAdam, RAdam
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.others import ASGD, Rprop
from flambeau.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "optimizer",
    "swa_utils",
]

__getattr__ = attribute(__name__)
