package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestComposeIsValid makes docker-compose read the sample, next to what deploy/build
// creates.
func TestComposeIsValid(t *testing.T) {
	compose, top := server.Require(t, "docker-compose", "docker-compose reads compose.yaml"), t.TempDir()
	for _, folder := range []string{"deploy", "dist"} {
		if err := os.Mkdir(filepath.Join(top, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"compose.yaml", "Dockerfile"} {
		write(t, filepath.Join(top, "deploy", name), read(t, name))
	}
	command := exec.Command(compose, "-f", filepath.Join(top, "deploy", "compose.yaml"), "config")
	command.Env = append(os.Environ(), "PRESENCE_ADMIN_KEY=from the environment")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("docker-compose config: %v\n%s", err, out)
	}
	for _, line := range []string{
		"context: " + filepath.Join(top, "dist"), "dockerfile: ../deploy/Dockerfile",
		"PRESENCE_AUTH__ADMIN_KEY: from the environment", "read_only: true", "nofile: 1048576",
	} {
		if !strings.Contains(string(out), line+"\n") {
			t.Errorf("docker-compose doesn't find %q in it:\n%s", line, out)
		}
	}
}
