"""A pod pinner that follows a planner elsewhere. The key is in an existing Secret, so no state contains it."""

import pulumi

import pulumi_moorage as moorage

config = pulumi.Config()
credentials = config.require("credentials")

pinner = moorage.PodPinner(
    "pod-pinner",
    repository=config.require("repository"),
    planner={"address": config.require("planner"), "caSecretRef": {"name": credentials}},
    api_key_secret_ref={"name": credentials},
)

pulumi.export("status", pinner.status)
