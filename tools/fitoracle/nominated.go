package main

import (
	"context"

	v1 "k8s.io/api/core/v1"
	corev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// nominations are the pods that wait for room on the node that they are
// nominated to. It stands in for the scheduling queue, whose nominator nobody
// outside of it can make; it is filled from each request.
type nominations struct {
	byNode map[string][]fwk.PodInfo
}

func (n *nominations) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}
func (n *nominations) DeleteNominatedPodIfExists(*v1.Pod)                            {}
func (n *nominations) UpdateNominatedPod(klog.Logger, *v1.Pod, fwk.PodInfo)          {}
func (n *nominations) NominatedPodsForNode(node string) []fwk.PodInfo                { return n.byNode[node] }

// replace takes over the pending pods of a request. Pods with gates, and those
// that have a node, are not in the queue: their nominations do not count.
func (n *nominations) replace(pods []*v1.Pod) {
	n.byNode = make(map[string][]fwk.PodInfo)
	for _, pod := range pods {
		node := pod.Status.NominatedNodeName
		if node == "" || pod.Spec.NodeName != "" || len(pod.Spec.SchedulingGates) > 0 {
			continue
		}
		// As the queue does: terms that do not parse are not there.
		info, _ := framework.NewPodInfo(pod)
		n.byNode[node] = append(n.byNode[node], info)
	}
}

// withNominated is a node, and the state of a cycle, as if the pods that are
// nominated to it ran there, as far as the pod must yield to them.
// Upstream: addGENominatedPods in pkg/scheduler/framework/runtime/framework.go.
func (w *world) withNominated(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo) (fwk.CycleState, fwk.NodeInfo) {
	state, node = state.Clone(), node.Snapshot()
	for _, other := range w.nominated.NominatedPodsForNode(node.Node().Name) {
		if corev1.PodPriority(other.GetPod()) >= corev1.PodPriority(pod) && other.GetPod().UID != pod.UID {
			node.AddPodInfo(other)
			w.framework.RunPreFilterExtensionAddPod(ctx, state, pod, other, node)
		}
	}
	return state, node
}
