package deploy_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// cluster is what compose-cluster.yaml describes: PostgreSQL, three nodes, and a proxy in
// front of them.
type cluster struct {
	*proxy
	postgres *server.Postgres
	nodes    []*server.Child
}

// startCluster starts PostgreSQL and the nodes with the configuration of
// compose-cluster.yaml, on this machine. env adds to that of the nodes, as KEY=value
// without the prefix.
func startCluster(t *testing.T, env ...string) *cluster {
	t.Helper()
	compose := readCompose(t, "compose-cluster.yaml")
	c := &cluster{postgres: startPostgres(t)}
	for _, name := range []string{"node1", "node2", "node3"} {
		node := newServer(t, append(c.environmentOf(t, compose, name), env...)...)
		node.Start()
		c.nodes = append(c.nodes, node)
	}
	c.proxy = newProxyOf(t, c.nodes[0])
	t.Cleanup(c.report)
	return c
}

// here returns a text in which the addresses of nodes, such as 10.0.0.11:8080, are those
// on this machine.
func (c *cluster) here(text, network string) string {
	for i, node := range c.nodes {
		text = strings.ReplaceAll(text, fmt.Sprint(network, i+1, ":8080"), node.Address)
	}
	return text
}

// report prints the logs of the nodes and of nginx, if the test has failed.
func (c *cluster) report() {
	if !c.t.Failed() {
		return
	}
	for i, node := range c.nodes {
		c.t.Logf("node%d:\n%s", i+1, node.Log())
	}
	c.t.Log(c.logs())
}

// environmentOf returns the variables of a service of the compose file, without the
// prefix, with the addresses that PostgreSQL and nginx have on this machine.
func (c *cluster) environmentOf(t *testing.T, compose, name string) (env []string) {
	t.Helper()
	_, service, _ := strings.Cut(compose, "\n  "+name+":\n")
	_, service, _ = strings.Cut(service, "\n    environment:\n")
	service, _, _ = strings.Cut(service, "\n    image: presence\n")
	here := strings.NewReplacer("@10.89.8.3/", "@"+c.postgres.Address+"/", "10.89.8.2", "127.0.0.1", "from the environment", server.AdminKey)
	for _, line := range regexp.MustCompile(`(?m)^ *PRESENCE_([A-Z_]+): (.*)$`).FindAllStringSubmatch(service, -1) {
		env = append(env, line[1]+"="+here.Replace(line[2]))
	}
	if len(env) < 5 {
		t.Fatalf("%s has no more than the variables %q", name, env)
	}
	return env
}

// runNginx runs the command of compose-cluster.yaml.
func (c *cluster) runNginx() {
	c.t.Helper()
	server.Require(c.t, "nginx", "nginx is the proxy in front of the nodes")
	_, script, _ := strings.Cut(read(c.t, "compose-cluster.yaml"), "      - |\n")
	script, _, _ = strings.Cut(script, "\n    ports:")
	for line := range strings.Lines(blocks(read(c.t, "README.md"), "nginx")[0]) {
		if line = strings.ReplaceAll(strings.TrimSpace(line), "10.0.0.1", "10.89.8.1"); !strings.Contains(script, line) {
			c.t.Errorf("the command of compose-cluster.yaml has no %q, unlike the README", line)
		}
	}
	main, site := filepath.Join(c.folder, "main.conf"), filepath.Join(c.folder, "site.conf")
	write(c.t, main, "events {\n    worker_connections  1024;\n}\n"+c.nginxMain(site))
	for old, new := range map[string]string{
		"$$":                             "$", // as docker compose understands it
		"/presence/nginx.conf":           c.nginxSite(map[string]string{}),
		"/etc/nginx/conf.d/default.conf": site,
		"/etc/nginx/nginx.conf":          main,
		"exec nginx ":                    "exec nginx -p " + c.folder + " -c main.conf -e error.log ",
		" worker_rlimit_nofile 200000;":  "",                        // what the machine's limit of file descriptors allows
		"worker_connections 100000":      "worker_connections 1000", // the same
	} {
		if !strings.Contains(script, old) {
			c.t.Fatalf("the command of compose-cluster.yaml has no %q", old)
		}
		script = strings.ReplaceAll(script, old, new)
	}
	c.run("sh", "-ec", c.here(script, "10.89.8.1"))
}

// runCaddy runs Caddy with the lines of the README.
func (c *cluster) runCaddy() {
	c.t.Helper()
	lines := c.here(blocks(read(c.t, "README.md"), "caddy")[0], "10.0.0.1")
	c.proxy.runCaddy(map[string]string{"\treverse_proxy 127.0.0.1:8080\n": lines})
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
// other. Every client that comes back through the proxy receives each status of its friend
// once, and nothing else.
func TestCluster(t *testing.T) {
	for name, run := range map[string]func(*cluster){"nginx": (*cluster).runNginx, "caddy": (*cluster).runCaddy} {
		t.Run(name, func(t *testing.T) {
			c := startCluster(t, "TIMING__RESTART_GRACE=5s")
			run(c)
			c.losesNobody()
		})
	}
}

func (c *cluster) losesNobody() {
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
		c.t.Fatal(err)
	}
	setAll(clients, "third")

	c.nodes[1].Start()
	friend.Close()
	for _, node := range c.nodes {
		node.Signal(syscall.SIGTERM)
		if code := node.Wait(); code != 0 {
			c.t.Errorf("exit code %d\n%s", code, node.Log())
		}
		node.Start()
	}
	c.awaitStreams(users, c.nodes...)
	setAll(clients, "fourth")

	for _, client := range clients {
		client.isCalm("1 first", "1 second", "1 third", "1 fourth")
	}
}
