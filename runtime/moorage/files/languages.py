"""Files in languages that are no YAML, which people give to commands for YAML: Terraform's, and templates."""

from __future__ import annotations

import re

_BLOCK = re.compile(
    rb"^[ \t]*(resource|module|variable|provider|terraform|locals|data|moved|output|set|set_sensitive|set_list|values)"
    rb'([ \t]+"[^"\n]*")*[ \t]*(=[ \t]*\[[ \t]*)?\{?[ \t\r]*$',
    re.MULTILINE,
)
_ASSIGNED = re.compile(rb'^[ \t]*[a-z_]+[ \t]*=[ \t]*("|\[|\{|[0-9]|true|false|[a-z_]+[.(])', re.MULTILINE)
_VARIABLES = re.compile(rb"(?:[ \t]*(?:(?:#|//)[^\n]*)?\r?\n)*[a-z][a-z0-9_]*[ \t]*=[ \t]*[^=\s]")
"""What a file of variables begins with."""
_TEMPLATE = re.compile(rb"\{\{-?[ ]")

TERRAFORM = (
    "is in Terraform's language, not YAML: terraform validate and terraform plan check it. What is installed: helm get "
    "values RELEASE -o yaml | moorage validate values -, kubectl get evictorconfigs -o yaml | moorage validate rules -"
)
TEMPLATE = "is a template ({{ … }}), not YAML: render it first, with helm template, helmfile template or argocd"


def other(data: bytes) -> str:
    """What a file is that YAML does not take, and the way out; empty when that is not known.

    Args:
        data: a file that is no YAML, or no map.
    """
    if (_BLOCK.search(data) and _ASSIGNED.search(data)) or _VARIABLES.match(data):
        return TERRAFORM
    return TEMPLATE if _TEMPLATE.search(data) else ""
