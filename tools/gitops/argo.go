package main

import (
	"context"
	"encoding/json"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/engine"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
)

const (
	// Argo CD's own: common.AnnotationKeyAppInstance, common.LabelKeyAppInstance, common.ArgoCDSSAManager.
	trackingAnnotation = "argocd.argoproj.io/tracking-id"
	trackingLabel      = "app.kubernetes.io/instance"
	manager            = "argocd-controller"
	application        = "moorage"
)

type argo struct {
	config  *rest.Config
	cluster cache.ClusterCache
	options options
}

type argoState struct {
	Object   string          `json:"object"`
	State    string          `json:"state"`
	Health   string          `json:"health"`
	Message  string          `json:"message,omitempty"`
	Live     json.RawMessage `json:"live,omitempty"`
	Expected json.RawMessage `json:"expected,omitempty"`
}

type argoResult struct {
	Object  string `json:"object"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Hook    string `json:"hook,omitempty"`
}

func newArgo(config *rest.Config, given options) (*argo, error) {
	cluster := cache.NewClusterCache(config, cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(found *unstructured.Unstructured, _ bool) (any, bool) {
			mark := mark(found, given)
			return mark, mark != ""
		}))
	return &argo{config, cluster, given}, cluster.EnsureSynced()
}

// sync does what an Application's synchronisation does.
func (a *argo) sync(ctx context.Context, target []*unstructured.Unstructured) ([]argoResult, error) {
	it := engine.NewEngine(a.config, a.cluster, engine.WithLogr(logr.Discard()))
	found, err := it.Sync(ctx, a.marked(target), a.managed, "revision", a.options.namespace,
		sync.WithPrune(a.options.prune), sync.WithLogr(logr.Discard()),
		sync.WithServerSideApply(a.options.serverSide), sync.WithServerSideApplyManager(manager))
	results := make([]argoResult, 0, len(found))
	for _, each := range found {
		key := each.ResourceKey
		results = append(results, argoResult{key.Kind + "/" + key.Name, string(each.Status), each.Message, string(each.HookType)})
	}
	return results, err
}

// look compares as the application controller does. Objects that are marked and not among the manifests are "extra".
func (a *argo) look(target []*unstructured.Unstructured) ([]argoState, error) {
	target = a.marked(target)
	live, err := a.cluster.GetManagedLiveObjs(target, a.managed)
	if err != nil {
		return nil, err
	}
	pairs := sync.Reconcile(target, live, a.options.namespace, a.cluster)
	// Argo CD ignores the status of every kind unless it is told otherwise (resource.compareoptions).
	given := []diff.Option{diff.WithLogr(logr.Discard()), diff.WithNormalizer(withoutStatus{})}
	if a.options.serverSide {
		resources, done, err := kube.ManageServerSideDiffDryRuns(
			a.config, a.cluster.GetOpenAPISchema(), tracing.NopTracer{}, logr.Discard(), nil)
		if err != nil {
			return nil, err
		}
		defer done()
		given = append(given, diff.WithServerSideDiff(true), diff.WithManager(manager),
			diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(resources)),
			diff.WithGVKParser(a.cluster.GetGVKParser()))
	}
	states := make([]argoState, 0, len(pairs.Target))
	for i, wanted := range pairs.Target {
		state, err := compare(wanted, pairs.Live[i], given)
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

func compare(wanted, found *unstructured.Unstructured, given []diff.Option) (argoState, error) {
	if found == nil {
		return argoState{Object: reference(wanted), State: "missing"}, nil
	}
	state := argoState{Object: reference(found), State: "same"}
	judged, err := health.GetResourceHealth(found, nil)
	if err != nil {
		return state, err
	}
	if judged != nil { // a kind without a check of its own counts as healthy
		state.Health, state.Message = string(judged.Status), judged.Message
	}
	if wanted == nil {
		state.State = "extra"
		return state, nil
	}
	result, err := diff.Diff(wanted, found, given...)
	if err != nil {
		return state, err
	}
	if result.Modified {
		state.State, state.Live, state.Expected = "different", result.NormalizedLive, result.PredictedLive
	}
	return state, nil
}

func (a *argo) managed(found *cache.Resource) bool {
	mark, _ := found.Info.(string)
	if a.options.byLabel {
		return mark == application
	}
	return mark == id(found.ResourceKey())
}

// marked puts Argo CD's mark on copies of the manifests.
func (a *argo) marked(target []*unstructured.Unstructured) []*unstructured.Unstructured {
	copies := make([]*unstructured.Unstructured, 0, len(target))
	for _, each := range target {
		each = each.DeepCopy()
		if a.options.byLabel {
			labels := each.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels[trackingLabel] = application
			each.SetLabels(labels)
		} else {
			annotations := each.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[trackingAnnotation] = id(kube.GetResourceKey(each))
			each.SetAnnotations(annotations)
		}
		copies = append(copies, each)
	}
	return copies
}

func mark(found *unstructured.Unstructured, given options) string {
	if given.byLabel {
		if len(found.GetOwnerReferences()) > 0 { // Argo CD counts only objects without an owner
			return ""
		}
		return found.GetLabels()[trackingLabel]
	}
	return found.GetAnnotations()[trackingAnnotation]
}

func id(key kube.ResourceKey) string {
	return application + ":" + key.Group + "/" + key.Kind + ":" + key.Name
}

type withoutStatus struct{}

func (withoutStatus) Normalize(found *unstructured.Unstructured) error {
	unstructured.RemoveNestedField(found.Object, "status")
	return nil
}
