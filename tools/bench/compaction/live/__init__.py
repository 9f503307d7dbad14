"""Runs contenders on seeded clusters on a real control plane with Karpenter: what they free, and at which cost."""
