package httpapi

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics returns a handler that serves metrics in the format of Prometheus: about
// the service, the calls, the process and the Go runtime. It asks for no
// credentials, so serve it on a private address only. No label contains a user ID,
// a token or a status text.
//
// A program with metrics of its own uses Config.Registerer instead.
func (h *Handler) Metrics() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(h.meters.registry, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// meters are the metrics of calls. Package presence has its own metrics of what
// happens in the service; see collector.
type meters struct {
	registry *prometheus.Registry // has both, and is itself a prometheus.Collector
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	limited  *prometheus.CounterVec
	failures prometheus.Counter
	cuts     *prometheus.CounterVec
	paths    map[string]*pathMeter
}

func newMeters() *meters {
	m := &meters{registry: prometheus.NewRegistry(), paths: make(map[string]*pathMeter)}
	m.requests = m.counters("presence_http_requests_total",
		"Requests, by path and HTTP status; an event stream is counted when it is open.", "path", "status")
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "presence_http_request_duration_seconds",
		Help:    "Time from the header of a request to the header of its response, by path; for an event stream, until it is open.",
		Buckets: []float64{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5},
	}, []string{"path"})
	m.refused = m.counters("presence_refused_total", "Calls that returned an error, by its code; see openapi.yaml.", "code")
	for code := range statuses {
		m.refused.WithLabelValues(strconv.Itoa(int(code)))
	}
	m.limited = m.counters("presence_rate_limited_total", "Calls rejected because the user made too many, by command.", "command")
	for _, command := range []string{getUserStatus, subscribeUserStatus, unsubscribeUserStatus} {
		m.limited.WithLabelValues(command)
	}
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "presence_failures_limited_total",
		Help: "Wrong admin keys and tokens rejected with 429, because their address had sent too many.",
	})
	m.cuts = m.counters("presence_stream_cuts_total", "Event streams cut because their client didn't accept what was sent, by reason.", "reason")
	m.cuts.WithLabelValues(cutTimeout)
	m.cuts.WithLabelValues(cutError)
	m.registry.MustRegister(m.duration, m.failures)
	return m
}

func (m *meters) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// pathMeter counts the requests of one path. The metrics that nearly all requests
// need are looked up in advance.
type pathMeter struct {
	path     string
	ok       prometheus.Counter
	duration prometheus.Observer
}

// otherPath is the label for all paths that aren't served. Such a path can contain
// anything, including a token, and a label should have few values.
const otherPath = "other"

func (m *meters) add(path string) {
	m.paths[path] = &pathMeter{path, m.requests.WithLabelValues(path, "200"), m.duration.WithLabelValues(path)}
}

// meterOf returns the meter of a request's path.
func (h *Handler) meterOf(path string) *pathMeter {
	if meter := h.meters.paths[path]; meter != nil {
		return meter
	}
	for folder := range h.folders {
		if strings.HasPrefix(path, folder) {
			return h.meters.paths[folder]
		}
	}
	return h.meters.paths[otherPath]
}

func (m *meters) answered(path *pathMeter, status int, took time.Duration) {
	path.duration.Observe(took.Seconds())
	if status == http.StatusOK {
		path.ok.Inc()
		return
	}
	m.requests.WithLabelValues(path.path, strconv.Itoa(status)).Inc()
}

func (m *meters) refuse(code presence.Code) {
	m.refused.WithLabelValues(strconv.Itoa(int(code))).Inc()
}

// The reasons for which a stream is cut.
const (
	cutTimeout = "write_timeout" // the client exceeded timing.write_timeout
	cutError   = "connection_error"
)

func (m *meters) cut(err error) {
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.cuts.WithLabelValues(cutTimeout).Inc()
	default:
		m.cuts.WithLabelValues(cutError).Inc()
	}
}
