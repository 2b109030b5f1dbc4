package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/presence-server/presence/presence"
)

func TestCommandExplain(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Befriend("alice", "bob")
	stream := c.Open("alice", "")
	defer stream.Close()
	c.Set("alice", hostile)
	out, _ := c.calls(0, "explain", "alice")
	c.mentions(out, "user ", " alice\n",
		"status ", " ONLINE because 1 device is connected; the last connected at ",
		"next ", " ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then UNLOGINED\n",
		`"\x1b[31m\a\u009b1m\u202e\r\nnot a line"`+"\n",
		"notified ", " the user's own streams, and those of the 1 follower, when connected\n",
		"counts ", " friends: 1, followers: 1, open streams: 1\n",
		"device ", ` "d", web, connected since 20`,
		"the token of device d expires, which ends its stream\n")

	out, _ = c.calls(0, "explain", "alice", "-json")
	var e presence.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.Status.CustomStatus != hostile || e.Streams != 1 || len(e.Devices) != 1 {
		t.Errorf("-json prints %q: %v", out, err)
	}
	if strings.ContainsAny(out, "\x1b\a\u009b\u202e\r") || strings.Count(out, "\n") != 1 {
		t.Errorf("-json prints characters that a terminal interprets: %q", out)
	}

	c.Admin("setUserStatus", map[string]any{"userID": "alice", "source": "call", "customStatus": hostile, "availability": "busy", "expiresIn": 600}, nil)
	c.Do("/v1/setIdle", c.TokenOf("alice"), map[string]any{"deviceID": "d", "idle": true}, nil)
	c.Do("/v1/setVisibility", c.TokenOf("alice"), map[string]any{"invisible": true}, nil)
	out, _ = c.calls(0, "explain", "alice")
	c.mentions(out, "said ", " the custom status is that of the entry call, which has the highest priority (10) of the 2 entries with a text; "+
		"busy, because the entry call says so\n",
		"others ", " others see UNLOGINED, because the user is invisible: to others, no device of the user exists\n",
		"device ", ", idle: ONLINE, and away unless another device is in use; nothing for others, because the user is invisible\n",
		"entry ", ` own, priority 0, "\x1b[31m\a\u009b1m\u202e\r\nnot a line": a text that is not shown, because the entry call has a higher priority, and no availability`+"\n",
		"entry ", ` call, priority 10, "\x1b[31m\a\u009b1m\u202e\r\nnot a line", busy: the custom status, and the availability busy`+"\n")
	out, _ = c.calls(0, "users", "alice")
	c.mentions(out, "busy, invisible\n")

	c.calls(0, "kick", "alice")
	out, _ = c.calls(0, "explain", "alice")
	c.mentions(out, "revoked ", " all tokens issued up to 20", "refused ", ` device "d", if only reconnecting, until 20`, "(REST_API_Kick)\n",
		" devices without an ID, if only reconnecting, until 20")
	_, complaint := c.calls(1, "explain", "nobody")
	c.mentions(complaint, `there is no such user: "nobody"`)
}
