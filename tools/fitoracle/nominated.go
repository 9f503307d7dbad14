package main

import (
	"context"

	v1 "k8s.io/api/core/v1"
	corev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// nominations are the pods that wait for room on the node that they are
// nominated to. It stands in for the scheduling queue, whose nominator nobody
// outside of it can make; it is filled from each request.
type nominations struct {
	byNode map[string][]fwkPodInfo
}

func (n *nominations) AddNominatedPod(klog.Logger, fwkPodInfo, *fwkNominatingInfo) {}
func (n *nominations) DeleteNominatedPodIfExists(*v1.Pod)                          {}
func (n *nominations) UpdateNominatedPod(klog.Logger, *v1.Pod, fwkPodInfo)         {}
func (n *nominations) NominatedPodsForNode(node string) []fwkPodInfo               { return n.byNode[node] }

// replace takes over the pending pods of a request. Pods with gates, and those
// that have a node, are not in the queue: their nominations do not count.
func (n *nominations) replace(pods []*v1.Pod) {
	n.byNode = make(map[string][]fwkPodInfo)
	for _, pod := range pods {
		node := pod.Status.NominatedNodeName
		if node == "" || pod.Spec.NodeName != "" || len(pod.Spec.SchedulingGates) > 0 {
			continue
		}
		// As the queue does: terms that do not parse are not there.
		info, _ := fwkNewPodInfo(pod)
		n.byNode[node] = append(n.byNode[node], info)
	}
}

// withNominated is a node, and the state of a cycle, as if the pods that are
// nominated to it ran there, as far as the pod must yield to them.
// Upstream: addGENominatedPods in pkg/scheduler/framework/runtime/framework.go.
func (w *world) withNominated(ctx context.Context, state fwkCycleState, pod *v1.Pod, node fwkNodeInfo) (fwkCycleState, fwkNodeInfo) {
	state, node = state.Clone(), node.Snapshot()
	for _, other := range w.nominated.NominatedPodsForNode(node.Node().Name) {
		if corev1.PodPriority(podOf(other)) >= corev1.PodPriority(pod) && podOf(other).UID != pod.UID {
			node.AddPodInfo(other)
			w.framework.RunPreFilterExtensionAddPod(ctx, state, pod, other, node)
		}
	}
	return state, node
}
