"""A planner and the pod pinner that follows it, in one namespace."""

from pathlib import Path

import pulumi
import yaml

import pulumi_moorage as moorage

# Which nodes are to come, and which pods run on them.
plan = yaml.safe_load(Path("plan.yaml").read_text())

everything = moorage.Moorage(
    "moorage",
    repository=pulumi.Config().require("repository"),
    pod_pinner={},
    planner={"plan": plan},
)

pulumi.export("namespace", everything.pod_pinner and everything.pod_pinner.namespace)
