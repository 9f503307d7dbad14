// Command fitoracle answers "does this pod fit there, and why not?" with the
// PreFilter and Filter plugins of kube-scheduler itself.
//
// Without arguments it reads requests from stdin, one JSON object per line, and
// writes one reply per request to stdout, in the order of the requests.
// With "bench" each line asks for a cumulative packing that is timed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func main() {
	verbose := flag.Bool("v", false, "let the plugins log to stderr")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: fitoracle [-v] [verdicts|bench|info] < requests.jsonl > replies.jsonl")
		flag.PrintDefaults()
	}
	flag.Parse()
	if !*verbose {
		// What matters is in the verdicts; generated cases would fill stderr
		// with complaints about themselves.
		klog.SetLogger(logr.Discard())
	}
	if err := run(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "fitoracle:", err)
		os.Exit(1)
	}
}

func run(mode string) error {
	switch mode {
	case "", "verdicts":
		return serveVerdicts(os.Stdin, os.Stdout)
	case "bench":
		return serveBench(os.Stdin, os.Stdout)
	case "info":
		return printInfo(os.Stdout)
	default:
		return fmt.Errorf("unknown mode %q: use verdicts, bench or info", mode)
	}
}

// serveVerdicts answers requests with one scheduler framework per processor.
// Replies keep the order of the requests: each request brings its own slot.
func serveVerdicts(in io.Reader, out io.Writer) error {
	type job struct {
		line  []byte
		reply chan []byte
	}
	workers := runtime.GOMAXPROCS(0)
	jobs := make(chan job)
	order := make(chan chan []byte, 4*workers)
	for range workers {
		w, err := newWorld(context.Background(), 1)
		if err != nil {
			return fmt.Errorf("building the scheduler framework: %w", err)
		}
		go func() {
			for j := range jobs {
				j.reply <- w.answer(j.line)
				if !w.broken {
					continue
				}
				// A panic may have left a lock behind: this world is over.
				if w, err = newWorld(context.Background(), 1); err != nil {
					fmt.Fprintln(os.Stderr, "fitoracle: rebuilding the scheduler framework:", err)
					os.Exit(1)
				}
			}
		}()
	}

	readErr := make(chan error, 1)
	go func() {
		defer close(order)
		defer close(jobs)
		readErr <- eachLine(in, func(line []byte) error {
			reply := make(chan []byte, 1)
			order <- reply
			jobs <- job{line, reply}
			return nil
		})
	}()

	w := bufio.NewWriterSize(out, 1<<16)
	for reply := range order {
		w.Write(<-reply)
		w.WriteByte('\n')
		// Flush only when nobody is waiting in line: a client that sends one
		// request and waits gets its reply, a batch is written in large pieces.
		if len(order) == 0 {
			if err := w.Flush(); err != nil {
				return fmt.Errorf("writing replies: %w", err)
			}
		}
	}
	return errors.Join(<-readErr, w.Flush())
}

func serveBench(in io.Reader, out io.Writer) error {
	return eachLine(in, func(line []byte) error {
		_, err := fmt.Fprintf(out, "%s\n", answerBench(line))
		return err
	})
}

func printInfo(out io.Writer) error {
	w, err := newWorld(context.Background(), 1)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", encode(w.info()))
	return err
}

// eachLine calls do for every non-empty line, of any length.
func eachLine(in io.Reader, do func(line []byte) error) error {
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if len(trimSpace(line)) > 0 {
			if err := do(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading requests: %w", err)
		}
	}
}
