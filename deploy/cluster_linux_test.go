package deploy_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// cluster is what compose-cluster.yaml describes: PostgreSQL, three nodes, and nginx in
// front of them.
type cluster struct {
	*proxy
	postgres *server.Postgres
	nodes    []*server.Child
}

// startCluster starts the programs of compose-cluster.yaml, with its configuration, on
// this machine. env adds to that of the nodes, as KEY=value without the prefix.
func startCluster(t *testing.T, env ...string) *cluster {
	t.Helper()
	compose := readCompose(t, "compose-cluster.yaml")
	c := &cluster{postgres: startPostgres(t)}
	addresses := make(map[string]string)
	for i, name := range []string{"node1", "node2", "node3"} {
		node := newServer(t, append(c.environmentOf(t, compose, name), env...)...)
		node.Start()
		c.nodes = append(c.nodes, node)
		addresses[fmt.Sprint("10.89.8.1", i+1, ":8080")] = node.Address
	}
	c.proxy = newProxyOf(t, c.nodes[0])
	c.runNginx(addresses)
	return c
}

// environmentOf returns the variables of a service of the compose file, without the
// prefix, with the addresses that PostgreSQL and nginx have on this machine.
func (c *cluster) environmentOf(t *testing.T, compose, name string) (env []string) {
	t.Helper()
	_, service, _ := strings.Cut(compose, "\n  "+name+":\n")
	_, service, _ = strings.Cut(service, "\n    environment:\n")
	service, _, _ = strings.Cut(service, "\n    image: presence\n")
	here := strings.NewReplacer("@postgres/", "@"+c.postgres.Address+"/", "10.89.8.2", "127.0.0.1", "from the environment", server.AdminKey)
	for _, line := range regexp.MustCompile(`(?m)^ *PRESENCE_([A-Z_]+): (.*)$`).FindAllStringSubmatch(service, -1) {
		env = append(env, line[1]+"="+here.Replace(line[2]))
	}
	if len(env) < 5 {
		t.Fatalf("%s has no more than the variables %q", name, env)
	}
	return env
}

// runNginx runs the command of the compose file.
func (c *cluster) runNginx(addresses map[string]string) {
	c.t.Helper()
	server.Require(c.t, "nginx", "nginx is the proxy in front of the nodes")
	_, script, _ := strings.Cut(read(c.t, "compose-cluster.yaml"), "      - |\n")
	script, _, _ = strings.Cut(script, "\n    ports:")
	main := filepath.Join(c.folder, "main.conf")
	write(c.t, main, "events {\n    worker_connections  1024;\n}\n"+c.nginxMain(filepath.Join(c.folder, "site.conf")))
	replace := map[string]string{
		"$$":                             "$", // as docker compose understands it
		"/presence/nginx.conf":           c.nginxSite(map[string]string{}),
		"/etc/nginx/conf.d/default.conf": filepath.Join(c.folder, "site.conf"),
		"/etc/nginx/nginx.conf":          main,
		"exec nginx ":                    "exec nginx -p " + c.folder + " -c main.conf -e error.log ",
		" worker_rlimit_nofile 200000;":  "",                        // what the machine's limit of file descriptors allows
		"worker_connections 100000":      "worker_connections 1000", // the same
	}
	maps.Copy(replace, addresses)
	for old, new := range replace {
		if !strings.Contains(script, old) {
			c.t.Fatalf("the command of compose-cluster.yaml has no %q", old)
		}
		script = strings.ReplaceAll(script, old, new)
	}
	c.run("sh", "-ec", script)
}

// startPostgres starts a PostgreSQL with the role and the database of the README.
func startPostgres(t *testing.T) *server.Postgres {
	t.Helper()
	postgres := server.StartPostgres(t)
	for statement := range strings.Lines(blocks(read(t, "README.md"), "sql")[0]) {
		if _, err := postgres.SQL("postgres", strings.ReplaceAll(statement, "A-PASSWORD", databasePassword)); err != nil {
			t.Fatal(err)
		}
	}
	return postgres
}

const databasePassword = "its-password"

// TestCluster kills a node, then PostgreSQL, and then restarts the nodes one after the
// other. Every client that comes back through nginx receives each status of its friend
// once, and nothing else.
func TestCluster(t *testing.T) {
	c := startCluster(t, "TIMING__RESTART_GRACE=5s")
	const users = 18
	clients := c.startClients(users)
	c.everyNodeHasStreams()
	setAll(clients, "first")

	// This user doesn't come back. So the change to UNLOGINED shows that the others have
	// outlived their grace.
	c.nodes[0].Befriend("gone", "friend")
	friend := c.nodes[0].Open("friend", "")
	gone := c.nodes[1].Open("gone", "")
	c.nodes[0].Awaits(friend, "gone", "1")
	c.nodes[1].Kill()
	gone.Close()
	c.nodes[0].Awaits(friend, "gone", "3")
	c.awaitStreams(users+1, c.nodes[0], c.nodes[2])
	setAll(clients, "second")

	c.postgres.Kill()
	if err := c.postgres.Start(); err != nil {
		t.Fatal(err)
	}
	setAll(clients, "third")

	c.nodes[1].Start()
	friend.Close()
	for _, node := range c.nodes {
		node.Signal(syscall.SIGTERM)
		if code := node.Wait(); code != 0 {
			t.Errorf("exit code %d\n%s", code, node.Log())
		}
		node.Start()
	}
	c.awaitStreams(users, c.nodes...)
	setAll(clients, "fourth")

	for _, client := range clients {
		client.isCalm("1 first", "1 second", "1 third", "1 fourth")
	}
}
