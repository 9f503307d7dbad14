//go:build tools

// Package tools pins the commands that are built from this module graph.
package tools

import (
	_ "github.com/google/go-containerregistry/cmd/crane"
)
