"""A planner and the pod pinner that follows it, in one namespace."""

import pulumi
import pulumi_moorage as moorage
import yaml

everything = moorage.Moorage(
    "moorage",
    repository=pulumi.Config().require("repository"),
    namespace="castai-agent",
    create_namespace=True,
    planner={"plan": yaml.safe_load(open("plan.yaml"))},  # which nodes are to come, and which pods run on them
)

pulumi.export("namespace", everything.pod_pinner and everything.pod_pinner.namespace)
