package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	kjson "sigs.k8s.io/json"
)

// kind is a sort of object that a request may bring.
type kind struct {
	resource schema.GroupVersionResource
	empty    func() runtime.Object
	// strategy is how the API server stores a new object of this kind;
	// nil where upstream needs a running server for it.
	strategy rest.RESTCreateStrategy
}

var kinds = map[string]kind{
	"nodes": {v1.SchemeGroupVersion.WithResource("nodes"),
		func() runtime.Object { return &v1.Node{} }, node.Strategy},
	"pods": {v1.SchemeGroupVersion.WithResource("pods"),
		func() runtime.Object { return &v1.Pod{} }, pod.Strategy},
	"namespaces": {v1.SchemeGroupVersion.WithResource("namespaces"),
		func() runtime.Object { return &v1.Namespace{} }, namespace.Strategy},
	"persistentvolumes": {v1.SchemeGroupVersion.WithResource("persistentvolumes"),
		func() runtime.Object { return &v1.PersistentVolume{} }, persistentvolume.Strategy},
	"persistentvolumeclaims": {v1.SchemeGroupVersion.WithResource("persistentvolumeclaims"),
		func() runtime.Object { return &v1.PersistentVolumeClaim{} }, persistentvolumeclaim.Strategy},
	"services": {v1.SchemeGroupVersion.WithResource("services"),
		func() runtime.Object { return &v1.Service{} }, service.Strategy},
	"replicationcontrollers": {v1.SchemeGroupVersion.WithResource("replicationcontrollers"),
		func() runtime.Object { return &v1.ReplicationController{} }, replicationcontroller.Strategy},
	"replicasets": {appsv1.SchemeGroupVersion.WithResource("replicasets"),
		func() runtime.Object { return &appsv1.ReplicaSet{} }, replicaset.Strategy},
	"statefulsets": {appsv1.SchemeGroupVersion.WithResource("statefulsets"),
		func() runtime.Object { return &appsv1.StatefulSet{} }, statefulset.Strategy},
	"storageclasses": {storagev1.SchemeGroupVersion.WithResource("storageclasses"),
		func() runtime.Object { return &storagev1.StorageClass{} }, storageclass.Strategy},
	"csinodes": {storagev1.SchemeGroupVersion.WithResource("csinodes"),
		func() runtime.Object { return &storagev1.CSINode{} }, csinode.Strategy},
	"csidrivers": {storagev1.SchemeGroupVersion.WithResource("csidrivers"),
		func() runtime.Object { return &storagev1.CSIDriver{} }, csidriver.Strategy},
	"csistoragecapacities": {storagev1.SchemeGroupVersion.WithResource("csistoragecapacities"),
		func() runtime.Object { return &storagev1.CSIStorageCapacity{} }, csistoragecapacity.Strategy},
	"volumeattachments": {storagev1.SchemeGroupVersion.WithResource("volumeattachments"),
		func() runtime.Object { return &storagev1.VolumeAttachment{} }, volumeattachment.Strategy},
}

// cluster is a decoded request: objects by kind, and the pending pods.
type cluster struct {
	objects  map[string][]runtime.Object
	pending  []runtime.Object
	warnings []string
}

func decodeCluster(req *Request) (*cluster, error) {
	c := &cluster{objects: make(map[string][]runtime.Object, len(req.Objects))}
	for key, raws := range req.Objects {
		if _, ok := kinds[key]; !ok {
			known := slices.Collect(keysOf(kinds))
			sort.Strings(known)
			return nil, fmt.Errorf("objects.%s: unknown kind, use one of %v", key, known)
		}
		objs, err := c.decodeList("objects."+key, key, raws)
		if err != nil {
			return nil, err
		}
		c.objects[key] = objs
	}
	pending, err := c.decodeList("pending", "pods", req.Pending)
	if err != nil {
		return nil, err
	}
	c.pending = pending
	return c, c.checkUnique()
}

func keysOf[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// decodeList decodes like the API server: case-sensitive, integers kept.
// Fields it does not know are warnings, as for kubectl.
func (c *cluster) decodeList(where, key string, raws []json.RawMessage) ([]runtime.Object, error) {
	objs := make([]runtime.Object, 0, len(raws))
	for i, raw := range raws {
		obj := kinds[key].empty()
		strict, err := kjson.UnmarshalStrict(raw, obj)
		if err != nil {
			return nil, fmt.Errorf("%s[%d] does not decode: %w", where, i, err)
		}
		for _, e := range strict {
			c.warnings = append(c.warnings, fmt.Sprintf("%s[%d]: %v", where, i, e))
		}
		if accessor(obj).GetName() == "" {
			return nil, fmt.Errorf("%s[%d]: metadata.name is missing", where, i)
		}
		fillSystemFields(key, obj)
		objs = append(objs, obj)
	}
	return objs, nil
}

// fillSystemFields sets what the API server itself would have set: the UID,
// by which the scheduler's cache knows pods, and a version.
func fillSystemFields(key string, obj runtime.Object) {
	m := accessor(obj)
	if m.GetUID() == "" {
		m.SetUID(types.UID(key + "/" + fullName(obj)))
	}
	if m.GetResourceVersion() == "" {
		m.SetResourceVersion("1")
	}
}

// checkUnique refuses two objects of one name, or two pods of one UID: no
// cluster has them, and the caches would silently drop one.
func (c *cluster) checkUnique() error {
	for key, objs := range c.objects {
		seen := make(map[string]bool, len(objs))
		for _, obj := range objs {
			if name := fullName(obj); seen[name] {
				return fmt.Errorf("objects.%s: %s is there twice", key, name)
			} else {
				seen[name] = true
			}
		}
	}
	uids := make(map[types.UID]bool)
	for _, obj := range slices.Concat(c.objects["pods"], c.pending) {
		if uid := accessor(obj).GetUID(); uids[uid] {
			return fmt.Errorf("pod %s: another pod has the same metadata.uid or the same name", fullName(obj))
		} else {
			uids[uid] = true
		}
	}
	return nil
}

// accessor gives the metadata; every kind in the table has it.
func accessor(obj runtime.Object) metav1.Object {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err)
	}
	return m
}

func fullName(obj runtime.Object) string {
	m := accessor(obj)
	if m.GetNamespace() == "" {
		return m.GetName()
	}
	return m.GetNamespace() + "/" + m.GetName()
}

func podsOf(objs []runtime.Object) []*v1.Pod {
	pods := make([]*v1.Pod, len(objs))
	for i, obj := range objs {
		pods[i] = obj.(*v1.Pod)
	}
	return pods
}
