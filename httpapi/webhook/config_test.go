package webhook

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// TestValidate checks that each error names the key, and contains neither a secret nor
// the user and query of a URL.
func TestValidate(t *testing.T) {
	of := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	one := []string{"https://a.example/hook"}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"nothing":               {Config{}, ""},
		"24 bytes":              {Config{URLs: one, Secret: of(24)}, ""},
		"64 bytes":              {Config{URLs: one, Secret: of(64)}, ""},
		"a secret alone":        {Config{Secret: of(32)}, ""},
		"no secret":             {Config{URLs: one}, "Webhooks.Secret = …: must be"},
		"23 bytes":              {Config{Secret: of(23)}, "Webhooks.Secret = …: must be"},
		"65 bytes":              {Config{Secret: of(65)}, "Webhooks.Secret = …: must be"},
		"no prefix":             {Config{Secret: of(32)[6:]}, "Webhooks.Secret = …: must be"},
		"no base64":             {Config{Secret: "whsec_geheim-geheim-geheim-geheim-"}, "Webhooks.Secret = …: must be"},
		"a line break":          {Config{Secret: of(30) + "\n"}, "Webhooks.Secret = …: must be"},
		"no URL":                {Config{URLs: []string{"geheim"}, Secret: of(32)}, `Webhooks.URLs = "…": must begin with http`},
		"not parsable":          {Config{URLs: []string{"https://geheim%zz/"}, Secret: of(32)}, `Webhooks.URLs = "…": must begin with http`},
		"another scheme":        {Config{URLs: []string{"ftp://u:geheim@a.example/x?geheim#geheim"}, Secret: of(32)}, `Webhooks.URLs = "ftp://a.example/x": must begin with http`},
		"no host":               {Config{URLs: []string{"https:///geheim"}, Secret: of(32)}, `Webhooks.URLs = "…": must begin with http`},
		"a port alone":          {Config{URLs: []string{"https://:80/x"}, Secret: of(32)}, `Webhooks.URLs = "https://:80/x": must begin with http`},
		"twice":                 {Config{URLs: []string{"http://a/?geheim", "http://a/?geheim"}, Secret: of(32)}, `Webhooks.URLs = "http://a/": must be given once`},
		"another query":         {Config{URLs: []string{"http://a/?1", "http://a/?2"}, Secret: of(32)}, ""},
		"negative":              {Config{Batch: -time.Second}, `Webhooks.Batch = "-1s": must not be negative`},
		"an empty URL":          {Config{URLs: []string{""}, Secret: of(32)}, `Webhooks.URLs = "…": must begin with http`},
		"all errors at once: 1": {Config{URLs: []string{"x", "y"}}, "Webhooks.Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.config.Validate()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
	if err := (Config{URLs: []string{"x", "y"}, Batch: -1}).Validate(); strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all errors: %v", err)
	}
}
