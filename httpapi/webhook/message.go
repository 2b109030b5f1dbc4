package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"github.com/presence-server/presence/presence"
)

// message is what is sent to a URL until it is received.
type message struct {
	id   string
	body []byte
}

func newMessage(statuses []presence.Status, created time.Time) message {
	body := []byte(`{"type":"user_status.updated","timestamp":"`)
	body = created.UTC().AppendFormat(body, time.RFC3339Nano)
	body = append(body, `","data":{"statuses":`...)
	body = presence.AppendList(body, statuses)
	return message{"msg_" + rand.Text(), append(body, "}}"...)}
}

// sign sets the headers of an attempt to send the message at a time.
func (m message) sign(h http.Header, key []byte, at time.Time) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(m.id + "." + timestamp + "."))
	mac.Write(m.body)
	h.Set("Webhook-Id", m.id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
