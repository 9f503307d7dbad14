//go:build tools

// Package tools pins the command that is built from this module graph.
package tools

import (
	_ "github.com/hashicorp/terraform-provider-helm"
)
