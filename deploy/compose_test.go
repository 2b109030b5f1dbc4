package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestComposeIsValid makes docker-compose read the samples, next to what deploy/build
// creates.
func TestComposeIsValid(t *testing.T) {
	for name, lines := range map[string][]string{
		"compose.yaml": {"PRESENCE_AUTH__ADMIN_KEY: from the environment"},
		"compose-cluster.yaml": {
			"PRESENCE_CLUSTER__NAME: node1", "PRESENCE_CLUSTER__NAME: node3", "POSTGRES_PASSWORD: its-password",
			"PRESENCE_CLUSTER__LOG: postgres://presence:its-password@postgres/presence",
		},
	} {
		out := readCompose(t, name)
		for _, line := range append(lines, "dockerfile: ../deploy/Dockerfile", "read_only: true", "nofile: 1048576") {
			if !strings.Contains(out, line+"\n") {
				t.Errorf("docker-compose doesn't find %q in %s:\n%s", line, name, out)
			}
		}
	}
}

// readCompose returns a sample as docker-compose understands it.
func readCompose(t *testing.T, name string) string {
	t.Helper()
	compose, top := server.Require(t, "docker-compose", "docker-compose reads "+name), t.TempDir()
	for _, folder := range []string{"deploy", "dist"} {
		if err := os.Mkdir(filepath.Join(top, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{name, "Dockerfile"} {
		write(t, filepath.Join(top, "deploy", name), read(t, name))
	}
	command := exec.Command(compose, "-f", filepath.Join(top, "deploy", name), "config")
	command.Env = append(os.Environ(), "PRESENCE_ADMIN_KEY=from the environment", "PRESENCE_SECRET="+server.Secret, "POSTGRES_PASSWORD=its-password")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("docker-compose config: %v\n%s", err, out)
	}
	if context := "context: " + filepath.Join(top, "dist") + "\n"; !strings.Contains(string(out), context) {
		t.Errorf("docker-compose doesn't find %q in %s:\n%s", context, name, out)
	}
	return string(out)
}
