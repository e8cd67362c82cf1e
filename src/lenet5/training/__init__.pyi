from .callbacks import Callback as Callback
from .config import TrainerConfig as TrainerConfig
from .history import History as History
from .history import Row as Row
from .progress import ProgressBar as ProgressBar
from .state import TrainingState as TrainingState
from .trainer import Trainer as Trainer
