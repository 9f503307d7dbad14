"""A test bed for the whole pinner: an API server in memory with the faults of real ones."""

from . import faults, refusals
from .api import EPOCH, Api, Request
from .bed import Bed
from .faults import prune
from .planner import BATCH, Planner, ref
from .refusals import Json
from .virtual import run, virtual

__all__ = [
    "BATCH",
    "EPOCH",
    "Api",
    "Bed",
    "Json",
    "Planner",
    "Request",
    "faults",
    "prune",
    "ref",
    "refusals",
    "run",
    "virtual",
]
