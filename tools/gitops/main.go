// Command moorage-gitops compares a cluster with rendered manifests as Argo CD and Flux do, by their own libraries.
//
// It reads manifests from standard input and writes JSON to standard output:
//
//	moorage-gitops sync  argo's engine applies the manifests, and deletes what is no longer among them
//	moorage-gitops look  what argo and flux find: differences, health, and what they would delete
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
)

type options struct {
	namespace  string
	serverSide bool
	byLabel    bool
	prune      bool
}

func main() {
	klog.SetLogger(logr.Discard())
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "moorage-gitops:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 || (arguments[0] != "sync" && arguments[0] != "look") {
		return fmt.Errorf("say sync or look")
	}
	var given options
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "the cluster")
	timeout := flags.Duration("timeout", time.Minute, "for everything")
	flags.StringVar(&given.namespace, "namespace", "default", "where objects without a namespace belong")
	flags.BoolVar(&given.serverSide, "server-side", false, "apply and compare on the server, not by the last applied")
	flags.BoolVar(&given.byLabel, "by-label", false, "know objects by the label app.kubernetes.io/instance")
	flags.BoolVar(&given.prune, "prune", false, "delete what is no longer among the manifests")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	target, err := kube.SplitYAML(text)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answer, err := answer(ctx, arguments[0], config, target, given)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func answer(
	ctx context.Context, command string, config *rest.Config, target []*unstructured.Unstructured, given options,
) (any, error) {
	argo, err := newArgo(config, given)
	if err != nil {
		return nil, err
	}
	if command == "sync" {
		return argo.sync(ctx, target)
	}
	found, err := argo.look(target)
	if err != nil {
		return nil, err
	}
	flux, err := lookLikeFlux(ctx, config, target, given.namespace)
	return map[string]any{"argo": found, "flux": flux}, err
}

func reference(found *unstructured.Unstructured) string {
	return found.GetKind() + "/" + found.GetName()
}
