// Package kubernetes_test checks deploy/kubernetes.yaml. It is a module of its own, so that
// the server doesn't depend on the types of Kubernetes.
package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sample decodes the objects of the file as Kubernetes does: unknown and repeated fields are
// errors, and so is a name in another case.
func sample(t *testing.T) (service core.Service, set apps.StatefulSet) {
	t.Helper()
	documents := strings.Split(read(t, "../kubernetes.yaml"), "\n---\n")
	objects := []any{&service, &set}
	if len(documents) != len(objects) {
		t.Fatalf("there are %d objects, want %d", len(documents), len(objects))
	}
	for i, object := range objects {
		text, err := yaml.YAMLToJSONStrict([]byte(documents[i]))
		if err != nil {
			t.Fatal(err)
		}
		if strict, err := json.UnmarshalStrict(text, object); err != nil || len(strict) > 0 {
			t.Fatal(err, strict)
		}
	}
	return service, set
}

// TestObjectsMatch: the Service finds the pod and its port, and there is one pod.
func TestObjectsMatch(t *testing.T) {
	service, set := sample(t)
	pod := set.Spec.Template
	for what, pair := range map[string][2]any{
		"kind of the Service":     {service.APIVersion + " " + service.Kind, "v1 Service"},
		"kind of the StatefulSet": {set.APIVersion + " " + set.Kind, "apps/v1 StatefulSet"},
		"name of the Service":     {service.Name, set.Spec.ServiceName},
		"labels of the Service":   {service.Spec.Selector, pod.Labels},
		"labels of the set":       {set.Spec.Selector.MatchLabels, pod.Labels},
		"port of the Service":     {service.Spec.Ports[0].TargetPort.String(), pod.Spec.Containers[0].Ports[0].Name},
		"replicas":                {*set.Spec.Replicas, 1},
		"service links":           {*pod.Spec.EnableServiceLinks, false},
		"volume":                  {pod.Spec.Containers[0].VolumeMounts[0].Name, set.Spec.VolumeClaimTemplates[0].Name},
	} {
		if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			t.Errorf("the %s is %v, want %v", what, pair[0], pair[1])
		}
	}
}

// TestPodMatchesImage: port, user, group and volume are those of the Dockerfile, and the root
// is read-only.
func TestPodMatchesImage(t *testing.T) {
	_, set := sample(t)
	spec := set.Spec.Template.Spec
	container, user := spec.Containers[0], spec.SecurityContext
	dockerfile := read(t, "../Dockerfile")
	for _, line := range []string{
		fmt.Sprintf("EXPOSE %d", container.Ports[0].ContainerPort),
		fmt.Sprintf("ENV PRESENCE_LISTEN=:%d", container.Ports[0].ContainerPort),
		fmt.Sprintf("USER %d:%d", *user.RunAsUser, *user.RunAsGroup),
		fmt.Sprintf("USER %d:%d", *user.RunAsUser, *user.FSGroup),
		"VOLUME " + container.VolumeMounts[0].MountPath,
		"WORKDIR " + container.VolumeMounts[0].MountPath,
	} {
		if !strings.Contains(dockerfile, "\n"+line+"\n") {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
	if c := container.SecurityContext; !*user.RunAsNonRoot || !*c.ReadOnlyRootFilesystem || *c.AllowPrivilegeEscalation || c.Capabilities.Drop[0] != "ALL" {
		t.Error("the pod is not confined")
	}
	if path := regexp.MustCompile(`(?m)^path = "(.*)"$`).FindStringSubmatch(read(t, "../../presence.toml")); path == nil || filepath.IsAbs(path[1]) {
		t.Errorf("the default of database.path is %q, which is not in the volume", path)
	}
}

// TestProbesAndVariablesAreTheServers: the API has the paths of the probes, and the program
// accepts the variables, but not a mistyped one.
func TestProbesAndVariablesAreTheServers(t *testing.T) {
	_, set := sample(t)
	container := set.Spec.Template.Spec.Containers[0]
	api := read(t, "../../httpapi/openapi.yaml")
	for _, probe := range []*core.Probe{container.LivenessProbe, container.ReadinessProbe} {
		if !strings.Contains(api, "\n  "+probe.HTTPGet.Path+":\n") || probe.HTTPGet.Port.String() != container.Ports[0].Name {
			t.Errorf("the server has no %v", probe.HTTPGet)
		}
	}
	env := valuesOf(container.Env)
	program := build(t)
	if out, err := check(t, program, env...); err != nil {
		t.Errorf("the program rejects the variables: %v\n%s", err, out)
	}
	if out, err := check(t, program, append(env, "PRESENCE_AUTH__SECRETS=x")...); err == nil {
		t.Errorf("the program accepts a mistyped variable:\n%s", out)
	}
}

// valuesOf returns the variables as a pod has them.
func valuesOf(variables []core.EnvVar) (env []string) {
	for _, variable := range variables {
		value := variable.Value
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil {
			value = "0123456789abcdef0123456789abcdef-" + from.SecretKeyRef.Key
		}
		env = append(env, variable.Name+"="+value)
	}
	return env
}

// TestVariablesOfNodes: Kubernetes and the program accept the variables that the README adds
// for several nodes.
func TestVariablesOfNodes(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindStringSubmatch(read(t, "../README.md"))
	if block == nil {
		t.Fatal("the README has no YAML")
	}
	text, err := yaml.YAMLToJSONStrict([]byte(block[1]))
	if err != nil {
		t.Fatal(err)
	}
	var variables []core.EnvVar
	if strict, err := json.UnmarshalStrict(text, &variables); err != nil || len(strict) > 0 {
		t.Fatal(err, strict)
	}
	_, set := sample(t)
	env := valuesOf(append(set.Spec.Template.Spec.Containers[0].Env, variables...))
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "PRESENCE_CLUSTER__LOG=", "PRESENCE_CLUSTER__LOG=postgres://presence@postgres/")
	}
	if out, err := check(t, build(t), env...); err != nil {
		t.Errorf("the program rejects the variables: %v\n%s", err, out)
	}
}

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "presence")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// check makes the program check its configuration.
func check(t *testing.T, program string, env ...string) ([]byte, error) {
	t.Helper()
	command := exec.Command(program, "-check")
	command.Dir, command.Env = t.TempDir(), append(env, "PRESENCE_LISTEN=127.0.0.1:0")
	return command.CombinedOutput()
}
