package main

import (
	"strings"
	"testing"
)

func TestCommandKick(t *testing.T) {
	c := newChild(t)
	c.Start()
	stream := c.Open("alice", "")
	token := c.TokenOf("alice")
	out, _ := c.calls(0, "kick", "alice")
	if want := "alice is kicked: devices logged out: 1, streams ended: 1; all tokens issued up to now are revoked\n"; out != want {
		t.Errorf("kick prints %q, want %q", out, want)
	}
	for e := c.Next(stream); e.Type != "KICKED_OUT"; {
		e = c.Next(stream)
	}
	if answer, err := c.Call(c.Ctx, "/v1/subscriptions", token, nil); err != nil || answer.Code != 70052 {
		t.Errorf("a token from before the kick: %+v %v", answer, err)
	}
	out, _ = c.calls(0, "kick", "-json", "alice")
	if want := `{"userID":"alice","devices":0,"streams":0}` + "\n"; out != want {
		t.Errorf("-json prints %q, want %q", out, want)
	}
	out, complaint := c.calls(1, "kick", "nobody")
	if out != "" || !strings.HasSuffix(complaint, `there is no such user: "nobody"`+"\n") {
		t.Errorf("an unknown user: %q %q", out, complaint)
	}
}
