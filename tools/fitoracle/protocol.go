package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	kjson "sigs.k8s.io/json"
)

// Request is one case: the cluster as it is, and pods that look for a node.
// Objects are keyed by their lower-case plural ("nodes", "persistentvolumes").
type Request struct {
	ID       json.RawMessage              `json:"id"`
	Objects  map[string][]json.RawMessage `json:"objects"`
	Pending  []json.RawMessage            `json:"pending"`
	Default  bool                         `json:"default"`
	Validate bool                         `json:"validate"`
	Info     bool                         `json:"info"`
	Bench    *BenchOptions                `json:"bench"`
}

// Reply carries either Error or Verdicts, never both.
type Reply struct {
	ID       json.RawMessage `json:"id"`
	Error    string          `json:"error,omitempty"`
	Verdicts []*PodVerdict   `json:"verdicts,omitempty"`
	// Invalid lists objects that the API server would not have stored.
	Invalid []InvalidObject `json:"invalid,omitempty"`
	// Ignored lists objects that the scheduler does not see, with the reason.
	Ignored  []string `json:"ignored,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Info     *Info    `json:"info,omitempty"`
}

// InvalidObject names an object and what the API server says against it.
type InvalidObject struct {
	Object string   `json:"object"`
	Errors []string `json:"errors"`
}

// PodVerdict is what one scheduling cycle says about one pending pod.
type PodVerdict struct {
	Pod string `json:"pod"`
	// PreEnqueue is the first plugin that keeps the pod out of the queue.
	// It does not influence the verdicts per node.
	PreEnqueue *PluginStatus `json:"preenqueue"`
	// PreFilter is the status that ends the cycle before any node is looked at.
	PreFilter *PluginStatus `json:"prefilter"`
	// PreFilterPlugins lists every PreFilter plugin that objects, in order.
	PreFilterPlugins []PluginStatus `json:"prefilter_plugins,omitempty"`
	// PreFilterNodes are the only nodes that the PreFilter plugins allow;
	// null means all.
	PreFilterNodes []string `json:"prefilter_nodes"`
	// Skipped are the plugins whose Filter has nothing to say on this pod.
	Skipped []string `json:"skipped,omitempty"`
	// CycleError is set when a plugin fails on some node: kube-scheduler then
	// gives up the whole cycle, whatever the other nodes say.
	CycleError string                  `json:"cycle_error,omitempty"`
	Nodes      map[string]*NodeVerdict `json:"nodes"`
}

// NodeVerdict is the verdict on one node. Code, Plugin and Reasons are the
// first "no", as kube-scheduler reports it; Plugins has every Filter plugin
// that says no on this node.
type NodeVerdict struct {
	Fit     bool           `json:"fit"`
	Stage   string         `json:"stage,omitempty"`
	Code    string         `json:"code,omitempty"`
	Plugin  string         `json:"plugin,omitempty"`
	Reasons []string       `json:"reasons,omitempty"`
	Plugins []PluginStatus `json:"plugins,omitempty"`
}

// PluginStatus is a "no" of one plugin.
type PluginStatus struct {
	Plugin  string   `json:"plugin"`
	Code    string   `json:"code"`
	Reasons []string `json:"reasons"`
}

// Info says what answers: the plugins in the order in which they run, and
// every feature gate with its value.
type Info struct {
	Kubernetes   string          `json:"kubernetes"`
	PreFilter    []string        `json:"prefilter"`
	Filter       []string        `json:"filter"`
	FeatureGates map[string]bool `json:"feature_gates"`
}

// decodeRequest reads the envelope; unknown fields are errors, because a
// misspelt flag must not pass as "off".
func decodeRequest(line []byte) (*Request, error) {
	req := &Request{}
	strict, err := kjson.UnmarshalStrict(line, req)
	if err != nil {
		return req, fmt.Errorf("request does not decode: %w", err)
	}
	if len(strict) > 0 {
		return req, fmt.Errorf("request does not decode: %w", strict[0])
	}
	return req, nil
}

// encode turns a reply into one line of JSON; the replies hold nothing that
// cannot be encoded, so a failure here is reported in place of the reply.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal(map[string]string{"error": "encoding the reply: " + err.Error()})
	}
	return data
}

func trimSpace(line []byte) []byte { return bytes.TrimSpace(line) }
