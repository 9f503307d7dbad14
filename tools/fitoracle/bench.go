package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
)

// BenchOptions say how a request under "bench" is packed.
type BenchOptions struct {
	// Mode "all" asks Filter about every node, "first" stops at the first
	// feasible one. Both place the pod on the first feasible node in the order
	// of objects.nodes, so both decide the same.
	Mode string `json:"mode"`
	// Parallel spreads Filter over goroutines, as kube-scheduler does (mode "all").
	Parallel bool `json:"parallel"`
	// Repeat runs through the pending pods that many times; 0 means once.
	Repeat int `json:"repeat"`
	// KeepEmpty leaves the cluster as it is: no pod is placed.
	KeepEmpty bool `json:"keep_empty"`
}

// BenchReply has the timings of one packing and what was decided.
type BenchReply struct {
	ID    json.RawMessage `json:"id"`
	Error string          `json:"error,omitempty"`

	Nodes  int `json:"nodes"`
	Pods   int `json:"pods"`
	Placed int `json:"placed"`
	// Microseconds per pod: PreFilter and Filter, and their sum.
	UsPerPod          float64 `json:"us_per_pod"`
	PreFilterUsPerPod float64 `json:"prefilter_us_per_pod"`
	FilterUsPerPod    float64 `json:"filter_us_per_pod"`
	// SnapshotUsPerPod is what keeping the scheduler's cache and snapshot up to
	// date costs; it is not part of UsPerPod.
	SnapshotUsPerPod float64 `json:"snapshot_us_per_pod"`
	P50Us            float64 `json:"p50_us"`
	P99Us            float64 `json:"p99_us"`
	// FilterCalls is the number of nodes asked, over all pods.
	FilterCalls int64   `json:"filter_calls"`
	BuildS      float64 `json:"build_s"`
	RSSMiB      float64 `json:"rss_mib"`
	// Nodes chosen, in the order of the pods; "" where nothing fits.
	Assignments []string `json:"assignments"`
	// Failures counts pods that ended in an error of a plugin, with the first one.
	Failures     int      `json:"failures,omitempty"`
	FirstFailure string   `json:"first_failure,omitempty"`
	Ignored      []string `json:"ignored,omitempty"`
}

func answerBench(line []byte) []byte {
	req, err := decodeRequest(line)
	reply := &BenchReply{}
	if err == nil {
		err = runBench(reply, req)
	}
	if err != nil {
		reply = &BenchReply{Error: err.Error()}
	}
	reply.ID = req.ID
	return encode(reply)
}

// packing is a cumulative run: each pod sees the pods placed before it.
type packing struct {
	*world
	cache     internalcache.Cache
	nodes     []fwkNodeInfo
	options   BenchOptions
	reply     *BenchReply
	durations []time.Duration
	preFilter time.Duration
	filter    time.Duration
	refresh   time.Duration
}

func runBench(reply *BenchReply, req *Request) (err error) {
	// Ending the context ends the goroutines of the framework and of its cache.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := panics.Load()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(ctx, p)
		} else if err == nil && panics.Load() != before {
			err = fmt.Errorf("a plugin panicked; run with -v to see where")
		}
	}()
	p, pods, err := newPacking(ctx, reply, req)
	if err != nil {
		return err
	}
	for round := range max(1, p.options.Repeat) {
		for _, pod := range pods {
			if round > 0 {
				pod = renamed(pod, round)
			}
			if err := p.schedule(ctx, pod); err != nil {
				return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
			}
		}
	}
	p.summarize()
	return nil
}

func newPacking(ctx context.Context, reply *BenchReply, req *Request) (*packing, []*v1.Pod, error) {
	if req.Bench == nil {
		return nil, nil, fmt.Errorf("request has no bench options, such as {\"mode\": \"all\"}")
	}
	if mode := req.Bench.Mode; mode != "all" && mode != "first" {
		return nil, nil, fmt.Errorf("bench.mode is %q: use all or first", mode)
	}
	if req.Bench.Mode == "first" && req.Bench.Parallel {
		return nil, nil, fmt.Errorf("bench.parallel goes with mode all only")
	}
	c, err := decodeCluster(req)
	if err != nil {
		return nil, nil, err
	}
	if _, err := admit(c, req.Default, false); err != nil {
		return nil, nil, err
	}
	parallelism := 1
	if req.Bench.Parallel {
		parallelism = 16 // the default of kube-scheduler
	}
	w, err := newWorld(ctx, parallelism)
	if err != nil {
		return nil, nil, err
	}
	started := time.Now()
	p := &packing{world: w, options: *req.Bench, reply: reply}
	if p.cache, reply.Ignored, err = w.load(ctx, c); err != nil {
		return nil, nil, err
	}
	for _, obj := range c.objects["nodes"] {
		// UpdateSnapshot keeps these pointers, so the order is kept too.
		node, err := w.snapshot.Get(accessor(obj).GetName())
		if err != nil {
			return nil, nil, err
		}
		p.nodes = append(p.nodes, node)
	}
	reply.BuildS = time.Since(started).Seconds()
	return p, podsOf(c.pending), nil
}

// schedule decides on one pod and places it.
func (p *packing) schedule(ctx context.Context, pod *v1.Pod) error {
	started := time.Now()
	state := fwkNewCycleState()
	allowed, status, _ := p.framework.RunPreFilterPlugins(ctx, state, pod)
	filterStarted := time.Now()
	var node fwkNodeInfo
	if status.IsSuccess() {
		node, status = p.findNode(ctx, state, pod, allowed)
	}
	ended := time.Now()
	p.preFilter += filterStarted.Sub(started)
	p.filter += ended.Sub(filterStarted)
	p.durations = append(p.durations, ended.Sub(started))

	if !status.IsSuccess() && !status.IsRejected() {
		p.reply.Failures++
		if p.reply.FirstFailure == "" {
			p.reply.FirstFailure = fmt.Sprintf("pod %s/%s: %s", pod.Namespace, pod.Name, status.Message())
		}
		node = nil
	}
	if node == nil {
		p.reply.Assignments = append(p.reply.Assignments, "")
		return nil
	}
	p.reply.Placed++
	p.reply.Assignments = append(p.reply.Assignments, node.Node().Name)
	if p.options.KeepEmpty {
		return nil
	}
	return p.place(ctx, pod, node.Node().Name)
}

// findNode is the first feasible node of the given order, nil when there is
// none; an error status of any node that was asked ends the cycle.
func (p *packing) findNode(ctx context.Context, state fwkCycleState, pod *v1.Pod, allowed *fwkPreFilterResult) (fwkNodeInfo, *fwkStatus) {
	nodes := p.nodes
	if !allowed.AllNodes() {
		nodes = make([]fwkNodeInfo, 0, len(allowed.NodeNames))
		for _, n := range p.nodes {
			if allowed.NodeNames.Has(n.Node().Name) {
				nodes = append(nodes, n)
			}
		}
	}
	if p.options.Parallel {
		return p.askTogether(ctx, state, pod, nodes)
	}
	return p.askInTurn(ctx, state, pod, nodes)
}

func (p *packing) askInTurn(ctx context.Context, state fwkCycleState, pod *v1.Pod, nodes []fwkNodeInfo) (fwkNodeInfo, *fwkStatus) {
	var first fwkNodeInfo
	for _, node := range nodes {
		p.reply.FilterCalls++
		status := p.framework.RunFilterPlugins(ctx, state, pod, node)
		switch {
		case status.IsSuccess() && p.options.Mode == "first":
			return node, nil
		case status.IsSuccess() && first == nil:
			first = node
		case !status.IsSuccess() && !status.IsRejected():
			return nil, status
		}
	}
	return first, nil
}

func (p *packing) askTogether(ctx context.Context, state fwkCycleState, pod *v1.Pod, nodes []fwkNodeInfo) (fwkNodeInfo, *fwkStatus) {
	statuses := make([]*fwkStatus, len(nodes))
	p.framework.Parallelizer().Until(ctx, len(nodes), func(i int) {
		statuses[i] = p.framework.RunFilterPlugins(ctx, state, pod, nodes[i])
	}, "Filter")
	p.reply.FilterCalls += int64(len(nodes))
	for _, status := range statuses {
		if !status.IsSuccess() && !status.IsRejected() {
			return nil, status
		}
	}
	if first := slices.IndexFunc(statuses, (*fwkStatus).IsSuccess); first >= 0 {
		return nodes[first], nil
	}
	return nil, nil
}

// place gives the pod to the cache as the informer would once it is bound, and
// brings the snapshot up to date.
func (p *packing) place(ctx context.Context, pod *v1.Pod, node string) error {
	bound := *pod
	bound.Spec.NodeName = node
	logger := klog.FromContext(ctx)
	started := time.Now()
	if err := p.cache.AddPod(logger, &bound); err != nil {
		return err
	}
	err := p.cache.UpdateSnapshot(logger, p.snapshot.Snapshot)
	p.refresh += time.Since(started)
	return err
}

func (p *packing) summarize() {
	r := p.reply
	r.Nodes, r.Pods = len(p.nodes), len(p.durations)
	if r.Pods > 0 {
		perPod := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(r.Pods) }
		r.PreFilterUsPerPod, r.FilterUsPerPod = perPod(p.preFilter), perPod(p.filter)
		r.UsPerPod = r.PreFilterUsPerPod + r.FilterUsPerPod
		r.SnapshotUsPerPod = perPod(p.refresh)
		slices.Sort(p.durations)
		r.P50Us = float64(p.durations[r.Pods/2].Nanoseconds()) / 1e3
		r.P99Us = float64(p.durations[r.Pods*99/100].Nanoseconds()) / 1e3
	}
	r.RSSMiB = residentMiB()
}

// renamed is the same pod under another name and UID, for further rounds.
func renamed(pod *v1.Pod, round int) *v1.Pod {
	clone := *pod
	suffix := "-r" + strconv.Itoa(round)
	clone.Name += suffix
	clone.UID += types.UID(suffix)
	return &clone
}

// residentMiB is the peak resident memory of this process, 0 where the system
// does not tell.
func residentMiB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			return kib / 1024
		}
	}
	return 0
}
