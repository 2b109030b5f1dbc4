package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestComposeIsValid makes docker-compose read the samples, next to what deploy/build
// creates.
func TestComposeIsValid(t *testing.T) {
	for name, lines := range map[string][]string{
		"compose.yaml": {"PRESENCE_AUTH__ADMIN_KEY: from the environment", "PRESENCE_AUTH__SECRET: " + server.Secret},
		"compose-cluster.yaml": {
			"PRESENCE_CLUSTER__NAME: node1", "PRESENCE_CLUSTER__NAME: node3", "POSTGRES_PASSWORD: its-password",
			"PRESENCE_CLUSTER__LOG: postgres://presence:its-password@10.89.8.3/presence",
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

// TestComposeServicesHaveAddresses checks that each service of the cluster has an address of
// its own: one without would be given an address that is free at the moment, maybe that of
// a service which starts later.
func TestComposeServicesHaveAddresses(t *testing.T) {
	out := readCompose(t, "compose-cluster.yaml")
	_, services, _ := strings.Cut(out, "\nservices:\n")
	services, _, _ = strings.Cut(services, "\nvolumes:\n")
	names := regexp.MustCompile(`(?m)^  [a-z0-9]+:$`).FindAllString(services, -1)
	addresses := regexp.MustCompile(`ipv4_address: .*`).FindAllString(services, -1)
	slices.Sort(addresses)
	if n := len(slices.Compact(addresses)); len(names) != 5 || n != len(names) {
		t.Errorf("the services %q have %d addresses:\n%s", names, n, services)
	}
}

// TestComposeSecrets runs the command of compose-cluster.yaml that creates the secrets, and
// checks that docker-compose finds them.
func TestComposeSecrets(t *testing.T) {
	compose, top := server.Require(t, "docker-compose", "docker-compose reads deploy/.env"), t.TempDir()
	for _, folder := range []string{"deploy", "dist"} {
		if err := os.Mkdir(filepath.Join(top, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sample := read(t, "compose-cluster.yaml")
	write(t, filepath.Join(top, "deploy", "compose-cluster.yaml"), sample)
	command := regexp.MustCompile(`(?m)^#   for name(.*\n)+?#   done$`).FindString(sample)
	if command == "" {
		t.Fatal("the sample has no command that creates deploy/.env")
	}
	command = strings.ReplaceAll(command, "#   ", "")
	var created []string
	for range 2 { // the second time, it leaves the file alone
		create := exec.Command("sh", "-ec", command)
		create.Dir = top
		if out, err := create.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		created = append(created, read(t, filepath.Join(top, "deploy", ".env")))
	}
	if created[0] != created[1] {
		t.Error("the command replaces the secrets")
	}
	info, err := os.Stat(filepath.Join(top, "deploy", ".env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read deploy/.env: %v %v", info.Mode(), err)
	}
	config := exec.Command(compose, "-f", filepath.Join("deploy", "compose-cluster.yaml"), "config")
	config.Dir = top
	out, err := config.CombinedOutput()
	if err != nil || !regexp.MustCompile(`LOG: postgres://presence:[0-9a-f]{64}@`).Match(out) || !regexp.MustCompile(`AUTH__ADMIN_KEY: [0-9a-f]{64}\n`).Match(out) {
		t.Errorf("docker-compose config: %v\n%s", err, out)
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
