"""The health of a potential: one list of checks for our tests, for `atomlab check` and for other people's models."""

from . import promises, behaviour  # isort: skip (this is the order of the list)
from .registry import CHECKS, Finding, Subject, health

__all__ = ["CHECKS", "Finding", "Subject", "behaviour", "health", "promises"]
