package main

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa/jsondiff"
)

type fluxState struct {
	Object  string `json:"object"`
	State   string `json:"state"`
	Patch   any    `json:"patch,omitempty"`
	Health  string `json:"health"`
	Message string `json:"message,omitempty"`
}

// lookLikeFlux does what helm-controller does: drift detection, and the health of each object by kstatus.
func lookLikeFlux(
	ctx context.Context, config *rest.Config, target []*unstructured.Unstructured, namespace string,
) ([]fluxState, error) {
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	states := make([]fluxState, 0, len(target))
	for _, wanted := range target {
		if _, hook := wanted.GetAnnotations()["helm.sh/hook"]; hook { // not part of a release's manifest
			continue
		}
		wanted = wanted.DeepCopy()
		if namespaced, err := cluster.IsObjectNamespaced(wanted); err == nil && namespaced && wanted.GetNamespace() == "" {
			wanted.SetNamespace(namespace)
		}
		found, err := jsondiff.Unstructured(ctx, cluster, wanted, jsondiff.FieldOwner("helm-controller"))
		if err != nil {
			return nil, err
		}
		state := fluxState{Object: reference(wanted), State: string(found.Type)}
		if len(found.Patch) > 0 {
			state.Patch = found.Patch
		}
		if live, ok := found.ClusterObject.(*unstructured.Unstructured); ok && live != nil {
			judged, err := status.Compute(live)
			if err != nil {
				return nil, err
			}
			state.Health, state.Message = string(judged.Status), judged.Message
		}
		states = append(states, state)
	}
	return states, nil
}
