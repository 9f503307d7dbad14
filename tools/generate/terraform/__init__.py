"""Terraform modules from the schemas of values: one per chart, and the root module that contains them."""

from tools.generate.terraform.files import files

__all__ = ["files"]
