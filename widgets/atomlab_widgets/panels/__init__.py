"""The five panels and the model's health. Each stands alone in a cell too, with its own session or a shared one."""

from .data import DatasetPanel
from .finetune import FinetunePanel
from .health import HealthPanel
from .map import MapPanel
from .md import MDPanel
from .runs import RunsPanel

__all__ = ["DatasetPanel", "FinetunePanel", "HealthPanel", "MDPanel", "MapPanel", "RunsPanel"]
