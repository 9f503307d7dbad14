"""Moorage's charts as Pulumi components.

import pulumi_moorage as moorage

moorage.PodPinner("pinner", repository="https://...", replicas=3)
"""

from pulumi_moorage.components import *  # noqa: F403
from pulumi_moorage.components import __all__ as __all__
