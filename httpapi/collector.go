package httpapi

import (
	"context"

	"github.com/presence-server/presence/presence"
	"github.com/prometheus/client_golang/prometheus"
)

// collector tells Prometheus, at each scrape, what package presence counts.
type collector struct{ h *Handler }

// Describe describes what there is.
func (c collector) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect reads the numbers.
func (c collector) Collect(to chan<- prometheus.Metric) {
	m, out := c.h.service.Metrics(), sink(to)
	c.state(out)
	now(out, &m)
	counted(out, &m)
	distributed(out, &m)
}

func (c collector) state(out sink) {
	out.gauge("presence_build_info", "Which version runs.", 1, "version", c.h.version)
	out.gauge("presence_ready", "1 while the service can do all its work, as /readyz tells; else 0.",
		one(c.h.service.Ready(context.Background()) == nil))
	out.gauge("presence_streams_limit", "Event streams that may be open; 0: any number.", float64(c.h.limits.Load().Streams))
}

func now(out sink, m *presence.Metrics) {
	const users = "Registered users, by normal status."
	out.gauge("presence_users", users, float64(m.Users.Online), "status", "online")
	out.gauge("presence_users", users, float64(m.Users.Offline), "status", "offline")
	out.gauge("presence_users", users, float64(m.Users.Unlogined), "status", "unlogined")
	out.gauge("presence_streams", "Event streams that are open.", float64(m.Streams))
	out.gauge("presence_status_version", "The last version given to a change.", float64(m.Version))
	out.gauge("presence_queue_length", "Operations that wait to be written.", float64(m.Queue))
	out.gauge("presence_queue_capacity", "Operations that may wait; more are refused as overload.", float64(m.QueueCapacity))
	out.gauge("presence_janitor_overdue_seconds", "How long the earliest deadline not yet applied has passed; 0: none has.",
		m.Overdue.Seconds())
	out.gauge("presence_database_bytes", "Size of the database file.", float64(m.DatabaseBytes))
	out.gauge("presence_wal_bytes", "Size of its write-ahead log.", float64(m.WALBytes))
	if m.DiskFreeBytes >= 0 {
		out.gauge("presence_disk_free_bytes", "Space left on the disk of the database.", float64(m.DiskFreeBytes))
	}
	fault := 0.0
	if !m.FaultAt.IsZero() {
		fault = float64(m.FaultAt.UnixMilli()) / 1000
	}
	out.gauge("presence_last_write_fault_timestamp_seconds", "When the database could last not be written; 0: never since the start.", fault)
}

func counted(out sink, m *presence.Metrics) {
	out.counter("presence_streams_opened_total", "Event streams opened.", m.Opened)
	for why, n := range m.Ended {
		out.counter("presence_streams_ended_total",
			"Event streams ended, by reason: that of KICKED_OUT, superseded, drained, or closed by the client or the network.",
			n, "reason", string(why))
	}
	out.counter("presence_changes_total", "Changes of a user that others can see.", m.Changes)
	out.counter("presence_conflations_total", "Changes replaced by a newer one while they waited for a stream.", m.Conflated)
	out.counter("presence_delivered_events_total", "Events with statuses handed to streams.", m.EventStatuses.Count())
	out.counter("presence_delivered_statuses_total", "Statuses in these events.", uint64(m.EventStatuses.Sum))
	out.counter("presence_write_faults_total", "Batches that could not be written to the database.", m.WriteFaults)
}

func distributed(out sink, m *presence.Metrics) {
	out.histogram("presence_event_statuses", "Statuses in an event.", m.EventStatuses)
	out.histogram("presence_delivery_delay_seconds",
		"Time from a change being durable to its event being handed to a stream, batch_window included.", m.DeliveryDelay)
	out.histogram("presence_commit_seconds", "Time to apply a batch of operations and make it durable.", m.Commit)
	out.histogram("presence_batch_operations", "Operations in a batch.", m.BatchOperations)
	out.histogram("presence_janitor_lateness_seconds", "Time from a deadline to its effect being durable.", m.Lateness)
}

// sink takes metrics. Labels are given as names and values by turns.
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
