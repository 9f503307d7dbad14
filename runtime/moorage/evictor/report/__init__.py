"""The report of an evaluation as data, text and page, and explanations of single nodes and pods.

Pure: no I/O.
"""

from .build import build
from .data import as_json, from_json
from .explain import NodeExplanation, PodExplanation, UnknownName, explain_node, explain_pod
from .html import as_html
from .model import Report
from .text import as_table, as_wide

__all__ = [
    "NodeExplanation",
    "PodExplanation",
    "Report",
    "UnknownName",
    "as_html",
    "as_json",
    "as_table",
    "as_wide",
    "build",
    "explain_node",
    "explain_pod",
    "from_json",
]
