package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Nginx runs nginx in a folder until the test ends. block is what its http block
// contains; it must listen on the address. Where nginx isn't installed, Missing
// ends the test.
func Nginx(t testing.TB, folder, address, block string) {
	t.Helper()
	path := Require(t, "nginx", "it is the proxy in front of the server")
	config := fmt.Sprintf(`daemon off; user root; pid nginx.pid; error_log stderr info;
		events {}
		http {
			access_log off;
			client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
			%s
		}`, block)
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "-p", folder, "-c", "nginx.conf", "-e", "stderr")
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatal("nginx doesn't listen")
		}
	}
}
