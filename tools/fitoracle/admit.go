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
	k := kinds[key]
	var invalid []InvalidObject
	for i, obj := range objs {
		if setDefaults {
			legacyscheme.Scheme.Default(obj)
		}
		if k.strategy == nil || key != "pods" && !validate {
			continue
		}
		prepared, rejected, err := prepareForCreate(obj, k)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", where, fullName(obj), err)
		}
		if validate && len(rejected) > 0 {
			invalid = append(invalid, InvalidObject{Object: where + "/" + fullName(obj), Errors: rejected})
		}
		if !setDefaults || key != "pods" {
			continue
		}
		if objs[i], err = asStored(prepared, obj.(*v1.Pod), k); err != nil {
			return nil, fmt.Errorf("%s %s: %w", where, fullName(obj), err)
		}
	}
	return invalid, nil
}

// prepareForCreate runs the create strategy on an internal copy, and returns
// the copy with the validation errors. Conversion shares memory with its
// source, which the strategy would change: hence the copy before it.
func prepareForCreate(obj runtime.Object, k kind) (runtime.Object, []string, error) {
	copied := obj.DeepCopyObject()
	legacyscheme.Scheme.Default(copied)
	internal, err := legacyscheme.Scheme.ConvertToVersion(copied, runtime.InternalGroupVersioner)
	if err != nil {
		return nil, nil, fmt.Errorf("converting: %w", err)
	}
	meta := accessor(internal)
	uid := meta.GetUID()
	rest.FillObjectMetaSystemFields(meta)
	meta.SetUID(uid)
	return internal, reasonsOf(rest.BeforeCreate(k.strategy, createContext(obj, k), internal)), nil
}

// asStored is the pod as the API server has it later: what the strategy has
// made of it, with the status that it got since; creation empties the status.
func asStored(internal runtime.Object, pod *v1.Pod, k kind) (runtime.Object, error) {
	stored, err := legacyscheme.Scheme.ConvertToVersion(internal, k.resource.GroupVersion())
	if err != nil {
		return nil, fmt.Errorf("converting back: %w", err)
	}
	stored.(*v1.Pod).Status = pod.Status
	return stored, nil
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
