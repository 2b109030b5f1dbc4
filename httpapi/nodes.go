package httpapi

import (
	"encoding/binary"
	"strings"

	"github.com/presence-server/presence/presence"
)

// This file has what operators see of the nodes that share a log.

// nodes adds the nodes that share the log. Without a log it adds nothing.
func (h *Handler) nodes(data object) object {
	m := h.service.LogMetrics()
	if m == nil {
		return data
	}
	return list(data, "nodes", m.Nodes)
}

// leader returns the name of the node that leads, or "" without a log.
func (h *Handler) leader() string {
	if m := h.service.LogMetrics(); m != nil {
		for _, n := range m.Nodes {
			if n.Leads {
				return n.Name
			}
		}
	}
	return ""
}

// logged collects the metrics of the log and of the nodes that share it, if there is one.
func (c collector) logged(out sink) {
	m := c.h.service.LogMetrics()
	if m == nil {
		return
	}
	out.gauge("presence_log_up", "1 while the log can be reached and this node applies it; otherwise 0.", one(m.AwayFor == nil && c.h.service.StopCause() == nil))
	out.gauge("presence_log_place", "Place in the log of the last entry that this node has applied.", float64(m.Place))
	out.gauge("presence_log_silent_seconds", "Time since this node has applied an entry, in whole seconds; there is one every second.", m.Silent.Seconds())
	out.counter("presence_log_entries_total", "Entries that this node has appended.", m.Append.Count())
	out.histogram("presence_log_append_seconds", "Time until an entry is durable in the log.", m.Append)
	if m.DigestPlace > 0 {
		out.gauge("presence_log_digest_place", "Place in the log of the first entry of the last minute, by the clock of the log.", float64(m.DigestPlace))
		out.gauge("presence_log_digest", "Hash of the state at presence_log_digest_place; it must be the same on all nodes with the same place.", digestNumber(m.Digest))
	}
	out.gauge("presence_nodes", "Nodes that live, as this one sees them.", float64(len(m.Nodes)))
	for name, n := range beats(m.Nodes) {
		out.counter("presence_node_beats_total", "Beats of a node since it started, by its name; one is due every second.", n, "node", name)
	}
}

// digestNumber returns the first 53 bits of a digest, which a float64 holds exactly.
func digestNumber(digest []byte) float64 { return float64(binary.BigEndian.Uint64(digest) >> 11) }

// beats returns the beats of nodes by name. Nodes of the same name are counted together,
// because two samples must not have the same label.
func beats(nodes []presence.NodeState) map[string]uint64 {
	all := make(map[string]uint64)
	for _, n := range nodes {
		all[strings.ToValidUTF8(n.Name, "?")] += uint64(n.Beats)
	}
	return all
}
