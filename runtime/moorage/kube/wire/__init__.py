"""What the API server sends, from bytes to structs: pages of lists and events of watches, in JSON and in protobuf.

And what it is sent in protobuf, from values to bytes: bindings.
"""
