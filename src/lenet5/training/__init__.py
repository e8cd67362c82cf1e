"""Training, evaluation and prediction, for any module and any source of batches."""

from .callbacks import Callback, ProgressBar
from .config import TrainerConfig
from .history import History
from .inference import Predictions
from .sdlm import SDLM, SDLMSchedule
from .trainer import Trainer

__all__ = ["SDLM", "Callback", "History", "Predictions", "ProgressBar", "SDLMSchedule", "Trainer", "TrainerConfig"]
