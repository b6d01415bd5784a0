"""How good a network is, by training it: briefly as a proxy, or fully.

`Score`, `Accuracy`, the recipes and `DataSpec` need neither torch nor numpy; the data needs numpy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.training.course import OtherTrainingError, TrainingHeldError
    from mnas.training.dataset import Dataset, Split
    from mnas.training.devices import DeviceError, device_of
    from mnas.training.fitting import MisfitError, require_fit
    from mnas.training.full import TrainedNetwork, train_network
    from mnas.training.judging import accuracy_of
    from mnas.training.loading import SOURCES, load_data, source_problem
    from mnas.training.loggers import LoggedTraining, LoggerError, MetricsLogger, metrics_logger
    from mnas.training.proxy import confirm_score, evaluate
    from mnas.training.recipes import FilterRule, FullRecipe, ProxyRecipe, RecipeError
    from mnas.training.score_contract import ScorerContract
    from mnas.training.scores import (
        Accuracy,
        Gain,
        MeanAccuracy,
        Score,
        accuracy_from,
        mean_accuracy,
        paired_gain,
    )
    from mnas.training.specs import DataError, DataSpec
    from mnas.training.storing import image_folder
    from mnas.training.team import TeamError
    from mnas.training.training_free import (
        InvalidScoreError,
        score_untrained,
        untrained_scores,
    )
    from mnas.training.weights import WeightsError, load_weights, save_weights

_HOMES = {
    "Accuracy": "scores",
    "DataError": "specs",
    "DataSpec": "specs",
    "Dataset": "dataset",
    "DeviceError": "devices",
    "FilterRule": "recipes",
    "FullRecipe": "recipes",
    "Gain": "scores",
    "InvalidScoreError": "training_free",
    "LoggedTraining": "loggers",
    "LoggerError": "loggers",
    "MeanAccuracy": "scores",
    "MetricsLogger": "loggers",
    "MisfitError": "fitting",
    "OtherTrainingError": "course",
    "ProxyRecipe": "recipes",
    "RecipeError": "recipes",
    "SOURCES": "loading",
    "Score": "scores",
    "ScorerContract": "score_contract",
    "Split": "dataset",
    "TeamError": "team",
    "TrainedNetwork": "full",
    "TrainingHeldError": "course",
    "WeightsError": "weights",
    "accuracy_from": "scores",
    "accuracy_of": "judging",
    "confirm_score": "proxy",
    "device_of": "devices",
    "evaluate": "proxy",
    "image_folder": "storing",
    "load_data": "loading",
    "load_weights": "weights",
    "mean_accuracy": "scores",
    "metrics_logger": "loggers",
    "paired_gain": "scores",
    "require_fit": "fitting",
    "save_weights": "weights",
    "score_untrained": "training_free",
    "source_problem": "loading",
    "train_network": "full",
    "untrained_scores": "training_free",
}

__all__ = [
    "SOURCES",
    "Accuracy",
    "DataError",
    "DataSpec",
    "Dataset",
    "DeviceError",
    "FilterRule",
    "FullRecipe",
    "Gain",
    "InvalidScoreError",
    "LoggedTraining",
    "LoggerError",
    "MeanAccuracy",
    "MetricsLogger",
    "MisfitError",
    "OtherTrainingError",
    "ProxyRecipe",
    "RecipeError",
    "Score",
    "ScorerContract",
    "Split",
    "TeamError",
    "TrainedNetwork",
    "TrainingHeldError",
    "WeightsError",
    "accuracy_from",
    "accuracy_of",
    "confirm_score",
    "device_of",
    "evaluate",
    "image_folder",
    "load_data",
    "load_weights",
    "mean_accuracy",
    "metrics_logger",
    "paired_gain",
    "require_fit",
    "save_weights",
    "score_untrained",
    "source_problem",
    "train_network",
    "untrained_scores",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
