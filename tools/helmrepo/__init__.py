"""A chart repository of this checkout's charts, served over HTTP on loopback.

with Repository(folder) as repository:
    repository.add(Path("charts/castai-pod-pinner"))
    ...  # helm repo add moorage <repository.url>
"""

from tools.helmrepo.repository import Repository, RepositoryError, charts

__all__ = ["Repository", "RepositoryError", "charts"]
