"""Decodes what the API server sends, JSON or protobuf, into structs: pages of lists, events of watches, refusals.

It also encodes what is sent in protobuf: bindings.
"""
