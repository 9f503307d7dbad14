package main

// What differs between the versions of Kubernetes: every other file is the same
// in tools/fitoracle-oldest, which has an upstream.go of its own.

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	resourceslicetracker "k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	schedulerapi "k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
)

type (
	fwkCycleState      = fwk.CycleState
	fwkFilterPlugin    = fwk.FilterPlugin
	fwkFramework       = framework.Framework
	fwkHandle          = fwk.Handle
	fwkNodeInfo        = fwk.NodeInfo
	fwkNominatingInfo  = fwk.NominatingInfo
	fwkPlugin          = fwk.Plugin
	fwkPodInfo         = fwk.PodInfo
	fwkPreFilterPlugin = fwk.PreFilterPlugin
	fwkPreFilterResult = fwk.PreFilterResult
	fwkStatus          = fwk.Status
)

const (
	fwkError                        = fwk.Error
	fwkUnschedulableAndUnresolvable = fwk.UnschedulableAndUnresolvable
)

func fwkNewCycleState() fwkCycleState { return framework.NewCycleState() }

func fwkNewPodInfo(pod *v1.Pod) (fwkPodInfo, error) { return framework.NewPodInfo(pod) }

func podOf(info fwkPodInfo) *v1.Pod { return info.GetPod() }

func skipped(state fwkCycleState) sets.Set[string] { return state.GetSkipFilterPlugins() }

func setSkipped(state fwkCycleState, plugins sets.Set[string]) { state.SetSkipFilterPlugins(plugins) }

func askPreFilter(ctx context.Context, p fwkPreFilterPlugin, state fwkCycleState, pod *v1.Pod, nodes []fwkNodeInfo) (*fwkPreFilterResult, *fwkStatus) {
	return p.PreFilter(ctx, state, pod, nodes)
}

func newSchedulerCache(ctx context.Context) internalcache.Cache {
	return internalcache.New(ctx, nil, utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload))
}

// newFramework builds the framework as scheduler.New of upstream does.
func (w *world) newFramework(
	ctx context.Context,
	registry frameworkruntime.Registry,
	profile *schedulerapi.KubeSchedulerProfile,
	factory informers.SharedInformerFactory,
	parallelism int,
) error {
	dra, err := w.newDRAManager(ctx, factory)
	if err != nil {
		return err
	}
	w.framework, err = frameworkruntime.NewFramework(ctx, registry, profile,
		frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSharedDRAManager(dra),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithSnapshotSharedLister(w.snapshot),
		frameworkruntime.WithPodNominator(w.nominated),
		frameworkruntime.WithParallelism(parallelism),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
		frameworkruntime.WithPodsInPreBind(frameworkruntime.NewPodsInPreBindMap()),
	)
	return err
}

func (w *world) newDRAManager(ctx context.Context, factory informers.SharedInformerFactory) (fwk.SharedDRAManager, error) {
	claims := assumecache.NewAssumeCache(klog.FromContext(ctx), w.listeners["resourceclaims"], "ResourceClaim", "", nil)
	if utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules) {
		return nil, fmt.Errorf("feature gate DRADeviceTaintRules is on by default: fitoracle does not fill its tracker")
	}
	tracker, err := resourceslicetracker.StartTracker(ctx, resourceslicetracker.Options{
		EnableConsumableCapacity: utilfeature.DefaultFeatureGate.Enabled(features.DRAConsumableCapacity),
		SliceInformer:            factory.Resource().V1().ResourceSlices(),
	})
	if err != nil {
		return nil, fmt.Errorf("resource slice tracker: %w", err)
	}
	manager := dynamicresources.NewDRAManager(ctx, claims, tracker, factory)
	if classes, ok := manager.DeviceClassResolver().(*extendedresourcecache.ExtendedResourceCache); ok && classes != nil {
		_, _ = w.listeners["deviceclasses"].AddEventHandler(classes)
	}
	return manager, nil
}

// Devices: the kinds of dynamic resource allocation.
func init() {
	for key, k := range map[string]kind{
		"deviceclasses": {resourcev1.SchemeGroupVersion.WithResource("deviceclasses"),
			func() runtime.Object { return &resourcev1.DeviceClass{} }, deviceclass.Strategy},
		"resourceslices": {resourcev1.SchemeGroupVersion.WithResource("resourceslices"),
			func() runtime.Object { return &resourcev1.ResourceSlice{} }, resourceslice.Strategy},
		"resourceclaims": {resourcev1.SchemeGroupVersion.WithResource("resourceclaims"),
			func() runtime.Object { return &resourcev1.ResourceClaim{} }, nil},
	} {
		kinds[key] = k
	}
}
