"""The demo: a planner streams a plan, pods are pinned before any node exists, machines join, all runs where planned."""
