package httpapi_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// operations returns each "METHOD /path" that openapi.yaml describes.
func operations(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := ""
	for _, m := range regexp.MustCompile(`(?m)^  (/\S*):$|^    (get|put|post|delete|options|head|patch|trace):$`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			path = m[1]
		} else {
			all = append(all, strings.ToUpper(m[2])+" "+path)
		}
	}
	return all
}

func TestEveryRouteIsInOpenAPI(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Dev = true })
	var described []string
	for _, operation := range operations(t) {
		operation = strings.TrimSuffix(operation, "{file}")
		described = append(described, operation)
		if path, ok := strings.CutPrefix(operation, "GET "); ok && !strings.HasSuffix(path, "/events") {
			described = append(described, "HEAD "+path)
		}
	}
	for _, file := range []string{"", "index.html", "demo.js", "demo.css", "person.html", "person.js", "page.css", "words.js", "icon.svg"} { // the demo page is no API
		described = append(described, "GET /"+file, "HEAD /"+file)
	}
	described = append(described, "GET /admin", "HEAD /admin", "GET /admin/", "HEAD /admin/") // nor is the admin page
	slices.Sort(described)
	if served := s.api.Routes(); !slices.Equal(served, described) {
		t.Errorf("openapi.yaml describes\n%s\nbut what is served is\n%s",
			strings.Join(described, "\n"), strings.Join(served, "\n"))
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	s := newServer(t)
	answer := s.call("GET", "/openapi.yaml", "", "")
	text, _ := os.ReadFile("openapi.yaml")
	if answer.status != 200 || answer.body != string(text) {
		t.Errorf("GET /openapi.yaml answers %d and %d bytes; the file has %d", answer.status, len(answer.body), len(text))
	}
}
