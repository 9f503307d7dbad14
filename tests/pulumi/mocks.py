"""A Pulumi engine that registers what it is told, and Outputs that are not known or secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pulumi
from pulumi.output import Unknown
from pulumi.runtime import mocks, settings, stack
