package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ExampleHandler_Shutdown stops a program: event streams end with a time to reconnect,
// requests in progress end, and nobody is shown as offline.
func ExampleHandler_Shutdown() {
	folder, _ := os.MkdirTemp("", "presence")
	defer os.RemoveAll(folder)
	svc, err := presence.Open(context.Background(), presence.Config{Path: filepath.Join(folder, "presence.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	api, err := httpapi.New(httpapi.Config{Service: svc, Tokens: &httpapi.Tokens{Secret: []byte(secret)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server, stopped := &http.Server{Handler: api}, make(chan error)
	go func() { stopped <- server.Serve(listener) }()

	// … when the program receives a signal …
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := api.Shutdown(ctx, server); err != nil {
		fmt.Println("some requests were cut off:", err)
	}
	fmt.Println(<-stopped)
	fmt.Println(svc.Close())
	// Output:
	// http: Server closed
	// <nil>
}

// ExampleConfig_registerer adds the metrics of presence to the /metrics of a program
// that has metrics of its own.
func ExampleConfig_registerer() {
	folder, _ := os.MkdirTemp("", "presence")
	defer os.RemoveAll(folder)
	svc, err := presence.Open(context.Background(), presence.Config{Path: filepath.Join(folder, "presence.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer svc.Close()
	registry := prometheus.NewRegistry() // usually prometheus.DefaultRegisterer
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rooms", Help: "Chat rooms."}, func() float64 { return 3 }))
	_, err = httpapi.New(httpapi.Config{
		Service:    svc,
		Tokens:     &httpapi.Tokens{Secret: []byte(secret)},
		Registerer: registry,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	metrics := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer metrics.Close()

	response, err := http.Get(metrics.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "rooms ") || strings.HasPrefix(line, "presence_streams ") {
			fmt.Println(line)
		}
	}
	// Output:
	// presence_streams 0
	// rooms 3
}
