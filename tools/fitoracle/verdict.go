package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"
)

// answer turns a request line into a reply line, whatever the line holds.
func (w *world) answer(line []byte) []byte {
	req, err := decodeRequest(line)
	reply := &Reply{ID: req.ID}
	if err == nil {
		err = w.fill(reply, req)
	}
	if err != nil {
		reply = &Reply{ID: req.ID, Error: err.Error()}
	}
	return encode(reply)
}

// fill computes the reply. A plugin that panics makes an error of its request
// and, when it does so in a goroutine of the framework, also of those that are
// being answered at the same time: better twice an error than once a wrong "yes".
func (w *world) fill(reply *Reply, req *Request) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := panics.Load()
	defer func() {
		if p := recover(); p != nil {
			w.broken = true
			err = panicked(ctx, p)
		} else if panics.Load() != before {
			w.broken = true
			err = fmt.Errorf("a plugin panicked on this request or on one answered at the same time; send it alone to know")
		}
	}()
	if req.Bench != nil {
		return fmt.Errorf("request has bench options: run \"fitoracle bench\" for it")
	}
	if req.Info {
		reply.Info = w.info()
	}
	c, err := decodeCluster(req)
	if err != nil {
		return err
	}
	reply.Warnings = c.warnings
	if reply.Invalid, err = admit(c, req.Default, req.Validate); err != nil {
		return err
	}

	if _, reply.Ignored, err = w.load(ctx, c); err != nil {
		return err
	}
	for _, pod := range podsOf(c.pending) {
		verdict, err := w.verdict(ctx, pod)
		if err != nil {
			return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		reply.Verdicts = append(reply.Verdicts, verdict)
	}
	return nil
}

// panicked turns what recover gave into an error; the stack goes to the log.
func panicked(ctx context.Context, p any) error {
	klog.FromContext(ctx).Info("A plugin panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return fmt.Errorf("a plugin panicked: %v; run with -v for the stack", p)
}

// verdict runs one scheduling cycle up to Filter, on every node.
// Upstream: findNodesThatFitPod in pkg/scheduler/schedule_one.go.
func (w *world) verdict(ctx context.Context, pod *v1.Pod) (*PodVerdict, error) {
	nodes, err := w.snapshot.List()
	if err != nil {
		return nil, err
	}
	v := &PodVerdict{Pod: pod.Namespace + "/" + pod.Name, Nodes: make(map[string]*NodeVerdict, len(nodes))}
	v.PreEnqueue = w.preEnqueue(ctx, pod)

	state := fwkNewCycleState()
	allowed, status, restricting := w.framework.RunPreFilterPlugins(ctx, state, pod)
	var mute sets.Set[string]
	if !allowed.AllNodes() {
		v.PreFilterNodes = sets.List(allowed.NodeNames)
	}
	if !status.IsSuccess() {
		no := statusOf(status.Plugin(), status)
		if no.Plugin == "" {
			no.Plugin = strings.Join(sets.List(restricting), ",")
		}
		v.PreFilter = &no
		if !status.IsRejected() {
			v.CycleError = status.Message()
		}
		// The framework stopped somewhere: begin again, ask every plugin.
		state = fwkNewCycleState()
		v.PreFilterPlugins, mute = w.askEveryPreFilter(ctx, state, pod, nodes)
	}
	v.Skipped = sets.List(skipped(state))

	for _, node := range nodes {
		name := node.Node().Name
		n := w.filter(ctx, state, pod, node, mute)
		if v.PreFilter != nil {
			n.no("prefilter", *v.PreFilter)
		} else if !allowed.AllNodes() && !allowed.NodeNames.Has(name) {
			n.no("prefilter", PluginStatus{
				Plugin:  strings.Join(sets.List(restricting), ","),
				Code:    fwkUnschedulableAndUnresolvable.String(),
				Reasons: []string{fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(restricting))},
			})
		} else if n.Code == fwkError.String() && v.CycleError == "" {
			v.CycleError = fmt.Sprintf("node %s: plugin %s: %s", name, n.Plugin, strings.Join(n.Reasons, "; "))
		}
		v.Nodes[name] = n
	}
	return v, nil
}

// preEnqueue gives the first plugin that would keep the pod out of the queue.
func (w *world) preEnqueue(ctx context.Context, pod *v1.Pod) *PluginStatus {
	for _, p := range w.framework.PreEnqueuePlugins() {
		if status := p.PreEnqueue(ctx, pod); !status.IsSuccess() {
			no := statusOf(p.Name(), status)
			return &no
		}
	}
	return nil
}

// askEveryPreFilter runs each PreFilter plugin, though an earlier one objects.
// Besides the objections it returns the plugins whose Filter must not run:
// those with nothing to say and those that left no state behind.
func (w *world) askEveryPreFilter(ctx context.Context, state fwkCycleState, pod *v1.Pod, nodes []fwkNodeInfo) ([]PluginStatus, sets.Set[string]) {
	var objections []PluginStatus
	skip, mute := sets.New[string](), sets.New[string]()
	for _, p := range w.preFilter {
		_, status := askPreFilter(ctx, p, state, pod, nodes)
		switch {
		case status.IsSkip():
			skip.Insert(p.Name())
			mute.Insert(p.Name())
		case !status.IsSuccess():
			objections = append(objections, statusOf(p.Name(), status))
			mute.Insert(p.Name())
		}
	}
	setSkipped(state, skip)
	return objections, mute
}

// filter asks the Filter plugins about one node. The framework gives the
// verdict; only on a "no" each plugin is asked for its own reasons. With mute,
// PreFilter has ended the cycle already: the framework is not asked again.
func (w *world) filter(ctx context.Context, state fwkCycleState, pod *v1.Pod, node fwkNodeInfo, mute sets.Set[string]) *NodeVerdict {
	n := &NodeVerdict{Fit: true}
	if mute != nil {
		n.Plugins = w.objections(ctx, state, pod, node, mute)
		return n
	}
	first := w.framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node)
	if first.IsSuccess() {
		return n
	}
	n.no("filter", statusOf(first.Plugin(), first))
	mute = skipped(state)
	n.Plugins = w.objections(ctx, state, pod, node, mute)
	if len(n.Plugins) == 0 {
		// What is in the way are the pods that are nominated to the node.
		state, node = w.withNominated(ctx, state, pod, node)
		n.Plugins = w.objections(ctx, state, pod, node, mute)
	}
	return n
}

// objections are those of all Filter plugins, in their order.
func (w *world) objections(ctx context.Context, state fwkCycleState, pod *v1.Pod, node fwkNodeInfo, mute sets.Set[string]) []PluginStatus {
	var found []PluginStatus
	for _, p := range w.filters {
		if mute.Has(p.Name()) {
			continue
		}
		if status := p.Filter(ctx, state, pod, node); !status.IsSuccess() {
			found = append(found, statusOf(p.Name(), status))
		}
	}
	return found
}

// no makes the verdict a "no" with s as its first reason.
func (n *NodeVerdict) no(stage string, s PluginStatus) {
	n.Fit, n.Stage = false, stage
	n.Code, n.Plugin, n.Reasons = s.Code, s.Plugin, s.Reasons
}

// statusOf copies a status; the order of its reasons is that of a Go map for
// some plugins, so they are sorted.
func statusOf(plugin string, s *fwkStatus) PluginStatus {
	reasons := append([]string{}, s.Reasons()...)
	sort.Strings(reasons)
	return PluginStatus{Plugin: plugin, Code: s.Code().String(), Reasons: reasons}
}

func (w *world) info() *Info {
	info := &Info{Kubernetes: kubernetesVersion(), FeatureGates: make(map[string]bool)}
	for _, p := range w.preFilter {
		info.PreFilter = append(info.PreFilter, p.Name())
	}
	for _, p := range w.filters {
		info.Filter = append(info.Filter, p.Name())
	}
	for gate := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		info.FeatureGates[string(gate)] = utilfeature.DefaultFeatureGate.Enabled(featuregate.Feature(gate))
	}
	return info
}

// kubernetesVersion is the version of the linked plugins, from the build itself.
func kubernetesVersion() string {
	build, _ := debug.ReadBuildInfo()
	for _, dep := range build.Deps {
		if dep.Path == "k8s.io/kubernetes" {
			return dep.Version
		}
	}
	return "unknown"
}
