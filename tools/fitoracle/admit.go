package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

// admit treats the objects as the API server does on creation: defaults, the
// changes of the create strategy (such as merging matchLabelKeys into label
// selectors), validation. Admission plugins are not part of it.
func admit(c *cluster, setDefaults, validate bool) ([]InvalidObject, error) {
	if !setDefaults && !validate {
		return nil, nil
	}
	var invalid []InvalidObject
	keys := slices.Sorted(keysOf(c.objects))
	for _, key := range keys {
		found, err := admitList(key, key, c.objects[key], setDefaults, validate)
		if err != nil {
			return nil, err
		}
		invalid = append(invalid, found...)
	}
	found, err := admitList("pending", "pods", c.pending, setDefaults, validate)
	return append(invalid, found...), err
}

func admitList(where, key string, objs []runtime.Object, setDefaults, validate bool) ([]InvalidObject, error) {
	var invalid []InvalidObject
	for i, obj := range objs {
		if setDefaults {
			legacyscheme.Scheme.Default(obj)
		}
		prepared, rejected, err := prepareForCreate(obj, kinds[key])
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", where, fullName(obj), err)
		}
		if validate && len(rejected) > 0 {
			invalid = append(invalid, InvalidObject{Object: where + "/" + fullName(obj), Errors: rejected})
		}
		if pod, ok := prepared.(*v1.Pod); ok && setDefaults {
			// Creation empties the status; what the pod has by now stays.
			pod.Status = obj.(*v1.Pod).Status
			objs[i] = pod
		}
	}
	return invalid, nil
}

// prepareForCreate runs the create strategy on a copy, and returns the copy in
// the version of obj with the validation errors.
func prepareForCreate(obj runtime.Object, k kind) (runtime.Object, []string, error) {
	if k.strategy == nil {
		return obj, nil, nil
	}
	defaulted := obj.DeepCopyObject()
	legacyscheme.Scheme.Default(defaulted)
	internal, err := legacyscheme.Scheme.ConvertToVersion(defaulted, runtime.InternalGroupVersioner)
	if err != nil {
		return nil, nil, fmt.Errorf("converting: %w", err)
	}
	meta := accessor(internal)
	uid := meta.GetUID()
	rest.FillObjectMetaSystemFields(meta)
	meta.SetUID(uid)
	rejected := reasonsOf(rest.BeforeCreate(k.strategy, createContext(obj, k), internal))
	prepared, err := legacyscheme.Scheme.ConvertToVersion(internal, k.resource.GroupVersion())
	if err != nil {
		return nil, nil, fmt.Errorf("converting back: %w", err)
	}
	return prepared, rejected, nil
}

// createContext is that of a create request: declarative validation finds the
// version of the object in it.
func createContext(obj runtime.Object, k kind) context.Context {
	namespace := accessor(obj).GetNamespace()
	ctx := genericapirequest.WithNamespace(genericapirequest.NewContext(), namespace)
	return genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		IsResourceRequest: true,
		Verb:              "create",
		APIGroup:          k.resource.Group,
		APIVersion:        k.resource.Version,
		Resource:          k.resource.Resource,
		Namespace:         namespace,
	})
}

// reasonsOf lists the causes of an API error, sorted; none for nil.
func reasonsOf(err error) []string {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Details == nil || len(status.ErrStatus.Details.Causes) == 0 {
		if err == nil {
			return nil
		}
		return []string{err.Error()}
	}
	var reasons []string
	for _, cause := range status.ErrStatus.Details.Causes {
		reasons = append(reasons, cause.Field+": "+cause.Message)
	}
	sort.Strings(reasons)
	return reasons
}
