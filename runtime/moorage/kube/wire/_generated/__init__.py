"""Generated from schemas/proto by `./taskw generate`; do not edit."""
