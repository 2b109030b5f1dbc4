package httpapi

import (
	"context"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/prometheus/client_golang/prometheus"
)

// collector collects the metrics of package presence at each scrape.
type collector struct{ h *Handler }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	m, out := c.h.service.Metrics(), sink(to)
	c.state(out)
	c.provider(out)
	now(out, &m)
	counted(out, &m)
	distributed(out, &m)
	c.delivered(out, m.Version)
	c.logged(out)
}

func (c collector) state(out sink) {
	out.gauge("presence_build_info", "The version that is running, as a label; always 1.", 1, "version", c.h.version)
	out.gauge("presence_ready", "1 while the service is ready, as reported by /readyz; otherwise 0.",
		one(c.h.service.Ready(context.Background()) == nil))
	out.gauge("presence_streams_limit", "Maximum number of open event streams; zero means no limit.", float64(c.h.limits.Load().Streams))
}

// provider reports on the keys of the identity provider, if there is one.
func (c collector) provider(out sink) {
	if c.h.tokens == nil || c.h.tokens.load().provider == nil {
		return
	}
	keys, fetched, failing := c.h.tokens.load().provider.read()
	age := 0.0
	if !fetched.IsZero() {
		age = time.Since(fetched).Seconds()
	}
	out.gauge("presence_provider_keys", "Keys of the identity provider that can verify tokens.", float64(keys))
	out.gauge("presence_provider_keys_age_seconds", "Time since the keys of the identity provider were fetched; zero means never.", age)
	out.gauge("presence_provider_failing", "1 while the last fetch of the keys of the identity provider failed; otherwise 0.", one(failing))
}

func now(out sink, m *presence.Metrics) {
	const users = "Registered users, by normal status."
	out.gauge("presence_users", users, float64(m.Users.Online), "status", "online")
	out.gauge("presence_users", users, float64(m.Users.Offline), "status", "offline")
	out.gauge("presence_users", users, float64(m.Users.Unlogined), "status", "unlogined")
	const availability = "Registered users with an availability, as the server side sees them; at most one for each user."
	out.gauge("presence_users_availability", availability, float64(m.Availability.Away), "availability", "away")
	out.gauge("presence_users_availability", availability, float64(m.Availability.Busy), "availability", "busy")
	out.gauge("presence_users_availability", availability, float64(m.Availability.DND), "availability", "dnd")
	out.gauge("presence_streams", "Open event streams.", float64(m.Streams))
	out.gauge("presence_status_version", "Version of the latest change.", float64(m.Version))
	out.gauge("presence_queue_length", "Operations waiting to be written to the database.", float64(m.Queue))
	out.gauge("presence_queue_capacity", "Maximum number of waiting operations; further ones are rejected with 503.", float64(m.QueueCapacity))
	out.gauge("presence_janitor_overdue_seconds", "Time since the earliest deadline that has passed but is not yet applied; zero means that there is none.",
		m.Overdue.Seconds())
	out.gauge("presence_database_bytes", "Size of the database file.", float64(m.DatabaseBytes))
	out.gauge("presence_wal_bytes", "Size of the database's write-ahead log.", float64(m.WALBytes))
	if m.DiskFreeBytes >= 0 {
		out.gauge("presence_disk_free_bytes", "Free space on the disk of the database.", float64(m.DiskFreeBytes))
	}
	lastError := 0.0
	if !m.WriteErrorAt.IsZero() {
		lastError = float64(m.WriteErrorAt.UnixMilli()) / 1000
	}
	out.gauge("presence_last_write_error_timestamp_seconds", "Time of the last failed write to the database, in seconds since 1970; zero means none since the start.", lastError)
}

func counted(out sink, m *presence.Metrics) {
	out.counter("presence_streams_opened_total", "Event streams opened.", m.Opened)
	for reason, n := range m.Ended {
		out.counter("presence_streams_ended_total",
			"Event streams that have ended, by reason: the type of KICKED_OUT, superseded, drained, or closed (by the client or the network).",
			n, "reason", string(reason))
	}
	out.counter("presence_changes_total", "Changes of users that others can see.", m.Changes)
	out.counter("presence_conflations_total", "Changes that a newer one of the same user replaced while they waited for a stream.", m.Conflated)
	out.counter("presence_delivered_events_total", "Events with statuses passed to streams.", m.EventStatuses.Count())
	out.counter("presence_delivered_statuses_total", "Statuses in these events.", uint64(m.EventStatuses.Sum))
	out.counter("presence_write_errors_total", "Batches that could not be written to the database.", m.WriteErrors)
}

func distributed(out sink, m *presence.Metrics) {
	out.histogram("presence_event_statuses", "Statuses in an event.", m.EventStatuses)
	out.histogram("presence_delivery_delay_seconds",
		"Time from when a change is durable to when its event is passed to a stream, including batch_window.", m.DeliveryDelay)
	out.histogram("presence_commit_seconds", "Time to apply a batch of operations and make it durable.", m.Commit)
	out.histogram("presence_batch_operations", "Operations in a batch.", m.BatchOperations)
	out.histogram("presence_janitor_lateness_seconds", "Time from a deadline to when its effect is durable.", m.Lateness)
}

// sink receives metrics. Its methods take labels as alternating names and values.
type sink chan<- prometheus.Metric

func (s sink) gauge(name, help string, value float64, labels ...string) {
	s.number(prometheus.GaugeValue, name, help, value, labels)
}

func (s sink) counter(name, help string, value uint64, labels ...string) {
	s.number(prometheus.CounterValue, name, help, float64(value), labels)
}

func (s sink) number(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

func (s sink) histogram(name, help string, h presence.Histogram) {
	buckets, n := make(map[float64]uint64, len(h.Bounds)), uint64(0)
	for i, bound := range h.Bounds {
		n += h.Counts[i]
		buckets[bound] = n
	}
	s <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), h.Count(), h.Sum, buckets)
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
