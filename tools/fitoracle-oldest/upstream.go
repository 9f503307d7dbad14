package main

// What differs between the versions of Kubernetes: the other files are those of
// tools/fitoracle. Devices are not compared: dynamic resource allocation is off
// by default in this version.

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	schedulerapi "k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

type (
	fwkCycleState      = *framework.CycleState
	fwkFilterPlugin    = framework.FilterPlugin
	fwkFramework       = framework.Framework
	fwkHandle          = framework.Handle
	fwkNodeInfo        = *framework.NodeInfo
	fwkNominatingInfo  = framework.NominatingInfo
	fwkPlugin          = framework.Plugin
	fwkPodInfo         = *framework.PodInfo
	fwkPreFilterPlugin = framework.PreFilterPlugin
	fwkPreFilterResult = framework.PreFilterResult
	fwkStatus          = framework.Status
)

const (
	fwkError                        = framework.Error
	fwkUnschedulableAndUnresolvable = framework.UnschedulableAndUnresolvable
)

func fwkNewCycleState() fwkCycleState { return framework.NewCycleState() }

func fwkNewPodInfo(pod *v1.Pod) (fwkPodInfo, error) { return framework.NewPodInfo(pod) }

func podOf(info fwkPodInfo) *v1.Pod { return info.Pod }

func skipped(state fwkCycleState) sets.Set[string] { return state.SkipFilterPlugins }

func setSkipped(state fwkCycleState, plugins sets.Set[string]) { state.SkipFilterPlugins = plugins }

func askPreFilter(ctx context.Context, p fwkPreFilterPlugin, state fwkCycleState, pod *v1.Pod, _ []fwkNodeInfo) (*fwkPreFilterResult, *fwkStatus) {
	return p.PreFilter(ctx, state, pod)
}

func newSchedulerCache(ctx context.Context) internalcache.Cache {
	return internalcache.New(ctx, 0)
}

// newFramework builds the framework as scheduler.New of upstream does.
func (w *world) newFramework(
	ctx context.Context,
	registry frameworkruntime.Registry,
	profile *schedulerapi.KubeSchedulerProfile,
	factory informers.SharedInformerFactory,
	parallelism int,
) error {
	// VolumeBinding keeps claims and volumes in caches that live from events.
	w.relay(factory, "persistentvolumeclaims", &v1.PersistentVolumeClaim{})
	w.relay(factory, "persistentvolumes", &v1.PersistentVolume{})
	var err error
	w.framework, err = frameworkruntime.NewFramework(ctx, registry, profile,
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSnapshotSharedLister(w.snapshot),
		frameworkruntime.WithPodNominator(w.nominated),
		frameworkruntime.WithParallelism(parallelism),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
	)
	return err
}

// relay makes the informer of a kind one that passes its listeners on to us.
func (w *world) relay(factory informers.SharedInformerFactory, key string, kind runtime.Object) {
	factory.InformerFor(kind, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
		return &relayedInformer{cache.NewSharedIndexInformer(nil, kind, 0, indexers), w.listeners[key]}
	})
}

type relayedInformer struct {
	cache.SharedIndexInformer
	events *eventRelay
}

func (i *relayedInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.events.AddEventHandler(h)
}
