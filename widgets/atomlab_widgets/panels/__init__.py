"""The five panels. Each stands alone in a cell too, with a session of its own or a shared one."""

from .data import DatasetPanel
from .finetune import FinetunePanel
from .map import MapPanel
from .md import MDPanel
from .runs import RunsPanel

__all__ = ["DatasetPanel", "FinetunePanel", "MDPanel", "MapPanel", "RunsPanel"]
