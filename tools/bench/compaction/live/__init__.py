"""The seeded clusters on a real control plane, beside Karpenter: what contenders really free, and at which price."""
