"""How weights are made: ``train`` and ``distill``, and what they are told.

Everything here runs on a processor and on a GPU alike, prints nothing, and needs no command line.
"""

from licframe.model.distortions import DISTORTIONS, Distortion, dissimilarity, squared_error, visual
from licframe.training.data import HeldOut, Photographs, Source
from licframe.training.details import fit_detail
from licframe.training.distillation import Distillation, removal_costs
from licframe.training.hardware import Hardware, hardware_on
from licframe.training.loop import Callback, LogLine, Settings, Trainer
from licframe.training.objective import (
    Objective,
    Rate,
    RateDistortion,
    Term,
    add_noise,
    even_weight,
    l1_term,
)
from licframe.training.optimiser import RATES, Optimiser
from licframe.training.results import Run
from licframe.training.runs import MakeObjective, distill, train
from licframe.training.schedule import Schedule
from licframe.training.supply import Data

__all__ = [
    "DISTORTIONS",
    "RATES",
    "Callback",
    "Data",
    "Distillation",
    "Distortion",
    "Hardware",
    "HeldOut",
    "LogLine",
    "MakeObjective",
    "Objective",
    "Optimiser",
    "Photographs",
    "Rate",
    "RateDistortion",
    "Run",
    "Schedule",
    "Settings",
    "Source",
    "Term",
    "Trainer",
    "add_noise",
    "dissimilarity",
    "distill",
    "even_weight",
    "fit_detail",
    "hardware_on",
    "l1_term",
    "removal_costs",
    "squared_error",
    "train",
    "visual",
]
