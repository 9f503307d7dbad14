// Command binder is the ceiling of `task bench:pin`: client-go doing nothing but binding pods to nodes that are known
// beforehand, so many at a time, as fast as the API server answers.
//
// It reads one pod per line, "namespace name uid node", from the file named by --pods, and prints one JSON object: how
// many were bound, the seconds that took, its own CPU seconds and peak memory. Encoding is client-go's own choice for
// built-in kinds (protobuf), its rate limits are lifted.
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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server")
	pods := flag.String("pods", "", "file with a line per pod: namespace, name, uid and node")
	inFlight := flag.Int("in-flight", 32, "how many requests may be under way at a time")
	flag.Parse()
	if err := run(*kubeconfig, *pods, *inFlight); err != nil {
		fmt.Fprintln(os.Stderr, "binder:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, file string, inFlight int) error {
	if inFlight < 1 {
		return fmt.Errorf("--in-flight %d: must be at least 1", inFlight)
	}
	bindings, err := read(file)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := bindAll(client, bindings, inFlight); err != nil {
		return err
	}
	elapsed := time.Since(began)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	peak, err := peakKiB()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"bound":     len(bindings),
		"elapsed_s": elapsed.Seconds(),
		"cpu_s":     time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(),
		"peak_kib":  peak,
	})
}

// peakKiB is the most memory that was resident. Not Maxrss of getrusage, which remembers the program before exec.
func peakKiB() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if name, rest, _ := strings.Cut(line, ":"); name == "VmHWM" {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("/proc/self/status does not tell VmHWM")
}

// read makes the bindings beforehand, so that the measured part is requests only.
func read(file string) ([]*corev1.Binding, error) {
	input, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer input.Close()
	var found []*corev1.Binding
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 4 {
			return nil, fmt.Errorf("%s: line %d has %d words instead of 4", file, len(found)+1, len(words))
		}
		found = append(found, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: words[0], Name: words[1], UID: types.UID(words[2])},
			Target:     corev1.ObjectReference{Kind: "Node", Name: words[3]},
		})
	}
	return found, lines.Err()
}

// bindAll binds in the order given and stops at the first error.
func bindAll(client kubernetes.Interface, bindings []*corev1.Binding, inFlight int) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	waiting := make(chan *corev1.Binding)
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for binding := range waiting {
				err := client.CoreV1().Pods(binding.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
				if err != nil {
					cancel(fmt.Errorf("pod %s/%s: %w", binding.Namespace, binding.Name, err))
				}
			}
		})
	}
feeding:
	for _, binding := range bindings {
		select {
		case waiting <- binding:
		case <-ctx.Done():
			break feeding
		}
	}
	close(waiting)
	workers.Wait()
	return context.Cause(ctx)
}
