// Command informer is the peer of `task bench:watch`: client-go's shared informers over the same pods and nodes, with
// the same two indexes and one handler, obeying the same line protocol as tools/bench/watch/reader.py.
//
// It prints one JSON object per line: first "synced", then one answer per command read from standard input:
//
//	report    memory at rest
//	count N   once N further pod events have been handled: seconds since the first of them, CPU seconds since the command
//
// Everything is client-go's default (garbage collection, GOMAXPROCS, WatchList, protobuf) except where a flag says so.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server, or of the replay server")
	useJSON := flag.Bool("json", false, "ask for JSON instead of protobuf, client-go's own choice for built-in kinds")
	flag.Parse()
	if err := run(*kubeconfig, *useJSON); err != nil {
		fmt.Fprintln(os.Stderr, "informer:", err)
		os.Exit(1)
	}
}

func run(kubeconfig string, useJSON bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	if useJSON {
		config.ContentType = "application/json"
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	idle := memory()
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, nodes := factory.Core().V1().Pods().Informer(), factory.Core().V1().Nodes().Informer()
	if err := pods.AddIndexers(cache.Indexers{"by_node": byNode, "by_controller": byController}); err != nil {
		return err
	}
	counter := &counter{}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { counter.add() },
		UpdateFunc: func(_, _ any) { counter.add() },
		DeleteFunc: func(any) { counter.add() },
	}
	if _, err := pods.AddEventHandler(handler); err != nil {
		return err
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced, nodes.HasSynced) {
		return fmt.Errorf("caches did not sync")
	}
	answer(map[string]any{
		"synced":         true,
		"cpu_s":          cpuSeconds(),
		"pods":           len(pods.GetStore().ListKeys()),
		"nodes":          len(nodes.GetStore().ListKeys()),
		"import_rss_kib": idle["rss_kib"],
		"by_node":        len(pods.GetIndexer().ListIndexFuncValues("by_node")),
		"by_controller":  len(pods.GetIndexer().ListIndexFuncValues("by_controller")),
	})
	return obey(counter)
}

// obey answers commands until standard input ends, which is how the parent says good-bye.
func obey(counter *counter) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 1 && words[0] == "report":
			answer(memory())
		case len(words) == 2 && words[0] == "count":
			events, err := strconv.Atoi(words[1])
			if err != nil {
				return err
			}
			counter.expect(events)
			answer(map[string]any{"counting": events})
		default:
			return fmt.Errorf("unknown command %q", lines.Text())
		}
	}
	return lines.Err()
}

func byNode(obj any) ([]string, error) {
	return []string{obj.(*corev1.Pod).Spec.NodeName}, nil
}

func byController(obj any) ([]string, error) {
	if owner := metav1.GetControllerOf(obj.(*corev1.Pod)); owner != nil {
		return []string{string(owner.UID)}, nil
	}
	return nil, nil
}

// counter answers once a number of events has been handled.
type counter struct {
	mutex  sync.Mutex
	left   int
	target int
	cpu    float64
	began  time.Time
}

func (c *counter) expect(events int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.left, c.target, c.cpu = events, events, cpuSeconds()
}

func (c *counter) add() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.left == 0 {
		return
	}
	if c.left == c.target {
		c.began = time.Now()
	}
	c.left--
	if c.left == 0 {
		answer(map[string]any{
			"events":    c.target,
			"elapsed_s": time.Since(c.began).Seconds(),
			"cpu_s":     cpuSeconds() - c.cpu,
		})
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// memory reads what the kernel says: nothing is collected or returned first, because no real user does that.
func memory() map[string]any {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	found := map[string]any{}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		if key, wanted := map[string]string{"VmRSS": "rss_kib", "VmHWM": "peak_kib"}[name]; wanted {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				panic(err)
			}
			found[key] = kib
		}
	}
	return found
}

var output sync.Mutex

func answer(fields map[string]any) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(fields); err != nil {
		panic(err)
	}
}
