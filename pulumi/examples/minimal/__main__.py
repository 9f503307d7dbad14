"""A planner and the pod pinner that follows it, in one namespace."""

from pathlib import Path

import pulumi
import yaml

import pulumi_moorage as moorage

# The nodes that are to join, and the pods that run on each.
plan = yaml.safe_load(Path("plan.yaml").read_text())

everything = moorage.Moorage(
    "moorage",
    repository=pulumi.Config().require("repository"),
    pod_pinner={},
    planner={"plan": plan},
)

pulumi.export("namespace", everything.pod_pinner and everything.pod_pinner.namespace)
