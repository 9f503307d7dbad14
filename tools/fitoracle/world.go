package main

import (
	"context"
	"fmt"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	configv1 "k8s.io/kube-scheduler/config/v1"
	schedulerapi "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// world is one scheduler framework with its default profile, whose informers
// never run: their stores are filled from each request. It answers one request
// at a time; a process has one world per processor.
type world struct {
	framework fwkFramework
	stores    map[string]cache.Indexer
	snapshot  *swappableSnapshot
	nominated *nominations
	// The plugins themselves, in their order: the framework stops at the first
	// "no", a verdict wants all of them.
	preFilter []fwkPreFilterPlugin
	filters   []fwkFilterPlugin

	// broken is set once a plugin has panicked in it.
	broken bool

	// Who keeps a cache that lives from events of a kind, not from its store.
	listeners map[string]*eventRelay
}

// panics counts plugin panics in goroutines of the framework, which no recover
// of ours can reach.
var panics atomic.Int64

func init() {
	utilruntime.ReallyCrash = false
	utilruntime.PanicHandlers = append(utilruntime.PanicHandlers, func(context.Context, any) { panics.Add(1) })
	metrics.Register()
}

// newWorld builds the framework as scheduler.New of upstream does, with the
// default configuration and the default feature gates.
func newWorld(ctx context.Context, parallelism int) (*world, error) {
	profile, err := defaultProfile()
	if err != nil {
		return nil, err
	}
	w := &world{
		stores:    make(map[string]cache.Indexer, len(kinds)),
		snapshot:  &swappableSnapshot{internalcache.NewEmptySnapshot()},
		nominated: &nominations{},
		listeners: make(map[string]*eventRelay, len(kinds)),
	}
	for key := range kinds {
		w.listeners[key] = &eventRelay{}
	}
	// No client: nothing of this program ever talks to a server.
	factory := informers.NewSharedInformerFactory(nil, 0)
	registry, created := capturingRegistry()
	if err := w.newFramework(ctx, registry, profile, factory, parallelism); err != nil {
		return nil, err
	}
	listed := w.framework.ListPlugins()
	for _, p := range listed.PreFilter.Enabled {
		w.preFilter = append(w.preFilter, created[p.Name].(fwkPreFilterPlugin))
	}
	for _, p := range listed.Filter.Enabled {
		w.filters = append(w.filters, created[p.Name].(fwkFilterPlugin))
	}
	for key, k := range kinds {
		informer, err := factory.ForResource(k.resource)
		if err != nil {
			return nil, fmt.Errorf("informer of %s: %w", key, err)
		}
		w.stores[key] = informer.Informer().GetIndexer()
	}
	return w, nil
}

func defaultProfile() (*schedulerapi.KubeSchedulerProfile, error) {
	var versioned configv1.KubeSchedulerConfiguration
	scheme.Scheme.Default(&versioned)
	cfg := schedulerapi.KubeSchedulerConfiguration{}
	if err := scheme.Scheme.Convert(&versioned, &cfg, nil); err != nil {
		return nil, fmt.Errorf("default scheduler configuration: %w", err)
	}
	return &cfg.Profiles[0], nil
}

// capturingRegistry is the in-tree registry that also remembers each plugin
// that it creates, by name.
func capturingRegistry() (frameworkruntime.Registry, map[string]fwkPlugin) {
	registry := plugins.NewInTreeRegistry()
	created := make(map[string]fwkPlugin, len(registry))
	for name, factory := range registry {
		registry[name] = func(ctx context.Context, args runtime.Object, h fwkHandle) (fwkPlugin, error) {
			p, err := factory(ctx, args, h)
			created[name] = p
			return p, err
		}
	}
	return registry, created
}

// load replaces everything the plugins can see by the objects of a request and
// returns the scheduler cache with the assigned pods, plus what it left out.
func (w *world) load(ctx context.Context, c *cluster) (internalcache.Cache, []string, error) {
	for key, store := range w.stores {
		if err := w.replace(key, store, c.objects[key]); err != nil {
			return nil, nil, fmt.Errorf("loading %s: %w", key, err)
		}
	}
	w.nominated.replace(podsOf(c.pending))
	logger := klog.FromContext(ctx)
	schedulerCache := newSchedulerCache(ctx)
	known := make(map[string]bool, len(c.objects["nodes"]))
	for _, obj := range c.objects["nodes"] {
		schedulerCache.AddNode(logger, obj.(*v1.Node))
		known[accessor(obj).GetName()] = true
	}
	var ignored []string
	for _, pod := range podsOf(c.objects["pods"]) {
		if why := unseen(pod, known); why != "" {
			ignored = append(ignored, fmt.Sprintf("pod %s/%s: %s", pod.Namespace, pod.Name, why))
			continue
		}
		if err := schedulerCache.AddPod(logger, pod); err != nil {
			return nil, nil, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	w.snapshot.Snapshot = internalcache.NewEmptySnapshot()
	return schedulerCache, ignored, schedulerCache.UpdateSnapshot(logger, w.snapshot.Snapshot)
}

// unseen says why the scheduler's cache has no such pod: its pod informer
// selects on the phase, its snapshot has known nodes only.
func unseen(pod *v1.Pod, nodes map[string]bool) string {
	switch {
	case pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed:
		return fmt.Sprintf("is over, status.phase is %s", pod.Status.Phase)
	case pod.Spec.NodeName == "":
		return "has no spec.nodeName; pods to place belong under pending"
	case !nodes[pod.Spec.NodeName]:
		return fmt.Sprintf("is on node %s, which is not among the nodes", pod.Spec.NodeName)
	}
	return ""
}

// replace fills one store, and tells the caches that live from events.
func (w *world) replace(key string, store cache.Indexer, objs []runtime.Object) error {
	old := store.List()
	if len(old) == 0 && len(objs) == 0 {
		return nil
	}
	items := make([]any, len(objs))
	for i, obj := range objs {
		items[i] = obj
	}
	if err := store.Replace(items, ""); err != nil {
		return err
	}
	for _, h := range w.listeners[key].handlers {
		for _, obj := range old {
			h.OnDelete(obj)
		}
		for _, obj := range items {
			h.OnAdd(obj, false)
		}
	}
	return nil
}

// eventRelay stands in for an informer: it only remembers who listens.
type eventRelay struct {
	handlers []cache.ResourceEventHandler
}

func (r *eventRelay) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	r.handlers = append(r.handlers, h)
	return nil, nil
}

// swappableSnapshot lets one framework look at a new snapshot per request.
type swappableSnapshot struct {
	*internalcache.Snapshot
}
