package deploy_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestWebhookReceivers runs the receivers of the README. Each prints what the real
// server sends, and rejects messages that are unsigned or were signed too long ago.
func TestWebhookReceivers(t *testing.T) {
	receivers := map[string]struct{ program, file, before, after string }{
		"js":     {"node", "receive.mjs", "", ""},
		"python": {"python3", "receive.py", "", ""},
		"go": {"go", "receive.go", "package main\n\nimport (\n\"crypto/hmac\"\n\"crypto/sha256\"\n\"encoding/base64\"\n\"encoding/json\"\n" +
			"\"fmt\"\n\"io\"\n\"log\"\n\"net/http\"\n\"os\"\n\"strconv\"\n\"strings\"\n\"time\"\n)\n\nfunc main() {\n", "}\n"},
	}
	for language, r := range receivers {
		t.Run(language, func(t *testing.T) {
			path := server.Require(t, r.program, "this runs the receiver of the README")
			found := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(read(t, "README.md"), -1)
			if len(found) != 1 {
				t.Fatalf("the README has %d blocks of %s, want 1", len(found), language)
			}
			address := freeAddress(t)
			_, port, _ := net.SplitHostPort(address)
			file := filepath.Join(t.TempDir(), r.file)
			write(t, file, r.before+strings.ReplaceAll(found[0][1], "8000", port)+r.after)
			received(t, receiverOf(t, path, file), "http://"+address+"/")
		})
	}
}

// receiverOf returns the command of a receiver. The receiver in Go is built first, so
// that killing the command ends it.
func receiverOf(t *testing.T, program, file string) *exec.Cmd {
	t.Helper()
	args := []string{program, file}
	if strings.HasSuffix(file, ".go") {
		binary := strings.TrimSuffix(file, ".go")
		if out, err := exec.CommandContext(bounded(t), program, "build", "-o", binary, file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		args = []string{binary}
	}
	command := exec.CommandContext(bounded(t), args[0], args[1:]...)
	command.Env = append(os.Environ(), "WEBHOOK_SECRET="+webhookSecret)
	return command
}

// received starts a receiver, and checks that it prints what the server sends to its
// URL.
func received(t *testing.T, command *exec.Cmd, url string) {
	t.Helper()
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		if t.Failed() {
			t.Logf("%s", &complaints)
		}
	})
	awaitsAnswer(t, url)
	s := startServer(t, "WEBHOOKS__URLS="+url, "WEBHOOKS__SECRET="+webhookSecret)
	sample := s.Command("webhook", "test", url)
	if text, err := sample.CombinedOutput(); err != nil || !strings.Contains(string(text), " responds 20") {
		t.Errorf("webhook test: %v\n%s", err, text)
	}
	s.Admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	s.Admin("setUserStatus", map[string]any{"userID": "alice", "customStatus": "Grüße"}, nil)
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "alice 3 Grüße" {
	}
	if lines.Text() != "alice 3 Grüße" {
		t.Errorf("the receiver doesn't print the status of alice: %v", lines.Err())
	}
	for _, forged := range []struct {
		secret string
		age    time.Duration
	}{{"another", 0}, {webhookSecret, time.Hour}, {webhookSecret, -time.Hour}} {
		if status := forge(t, url, forged.secret, forged.age); status != http.StatusUnauthorized {
			t.Errorf("a message signed with %s, %v ago, was answered %d", forged.secret, forged.age, status)
		}
	}
	if status := forge(t, url, webhookSecret, 0); status != http.StatusNoContent && status != http.StatusOK {
		t.Errorf("a genuine message was answered %d", status)
	}
}

// awaitsAnswer waits until a server responds.
func awaitsAnswer(t *testing.T, url string) {
	t.Helper()
	for ctx := bounded(t); ctx.Err() == nil; {
		if response, err := http.Get(url); err == nil {
			response.Body.Close()
			return
		}
	}
	t.Fatalf("nothing responds at %s", url)
}

// forge sends a message that was signed with a secret some time ago, and returns the
// status of the response.
func forge(t *testing.T, url, secret string, age time.Duration) int {
	t.Helper()
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	body, at := `{"data":{"statuses":[]}}`, fmt.Sprint(time.Now().Add(-age).Unix())
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("id." + at + "." + body))
	request, err := http.NewRequestWithContext(bounded(t), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("webhook-id", "id")
	request.Header.Set("webhook-timestamp", at)
	request.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
