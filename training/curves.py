"""TensorBoard curves that go on where a killed run left them."""

from pathlib import Path

from stable_baselines3.common.logger import HParam, Logger, TensorBoardOutputFormat
from torch.utils.tensorboard.writer import SummaryWriter

from synergai.training.config import TrainConfig


class _Curves(TensorBoardOutputFormat):
    def __init__(self, folder: Path, step: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=step)
        self._is_closed = False


def curves(folder: Path, step: int) -> Logger:
    """A logger into `folder`; what earlier processes drew from `step` on is hidden."""
    folder.mkdir(parents=True, exist_ok=True)
    return Logger(str(folder), [_Curves(folder, step)])


def no_curves() -> Logger:
    """For training of which nothing is kept."""
    return Logger(None, [])


def record_settings(logger: Logger, config: TrainConfig) -> None:
    """The settings of a run for TensorBoard's table of hyper-parameters, beside the rate that tells runs apart."""
    values = {
        key: value if isinstance(value, bool | int | float | str) else ", ".join(map(str, value or ()))
        for key, value in config.model_dump().items()
    }
    logger.record(
        "settings", HParam(values, {"violation_rate/mean": 0.0}), exclude=("stdout", "log", "json", "csv")
    )
