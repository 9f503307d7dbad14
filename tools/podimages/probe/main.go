// Command probe is the container that tests of real nodes run: it shows what a pod sees of its cluster.
//
//	probe serve        answers the same over HTTP on port 8080: /lookup?name=NAME, /get?url=URL, /api?path=PATH
//	probe lookup NAME  prints the addresses of a name
//	probe get URL      prints what an HTTP server answers
//	probe api PATH     prints what the API server answers this pod's service account at its Service address
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: probe serve | lookup NAME | get URL | api PATH")
		os.Exit(2)
	}
	answer, err := ask(context.Background(), os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

func serve() {
	for verb, parameter := range map[string]string{"lookup": "name", "get": "url", "api": "path"} {
		http.HandleFunc("/"+verb, func(w http.ResponseWriter, r *http.Request) {
			answer, err := ask(r.Context(), verb, r.URL.Query().Get(parameter))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprintln(w, answer)
		})
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 10 * time.Second}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		server.Close()
	}()
	fmt.Println("probe serves")
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(ctx context.Context, verb, about string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch verb {
	case "lookup":
		addresses, err := net.DefaultResolver.LookupHost(ctx, about)
		return strings.Join(addresses, " "), err
	case "get":
		return get(ctx, http.DefaultClient, about, "")
	case "api":
		return api(ctx, about)
	}
	return "", fmt.Errorf("unknown verb %q", verb)
}

func api(ctx context.Context, path string) (string, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return "", err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return "", err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return get(ctx, client, "https://"+server+path, string(token))
}

func get(ctx context.Context, client *http.Client, url, token string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, strings.TrimSpace(string(body))), err
}
