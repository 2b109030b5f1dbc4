package httpapi_test

import (
	"strings"
	"testing"

	"github.com/presence-server/presence/httpapi"
)

func TestCanonicalOrigin(t *testing.T) {
	for origin, want := range map[string]string{
		"*":                                 "*",
		"https://chat.example.com":          "https://chat.example.com",
		"HTTPS://Chat.Example.COM":          "https://chat.example.com",
		"https://chat.example.com:443":      "https://chat.example.com",
		"http://chat.example.com:80":        "http://chat.example.com",
		"http://chat.example.com:443":       "http://chat.example.com:443",
		"https://chat.example.com:0443":     "https://chat.example.com",
		"https://chat.example.com:8443":     "https://chat.example.com:8443",
		"https://bücher.example":            "https://xn--bcher-kva.example",
		"https://BÜCHER。example":            "https://xn--bcher-kva.example",
		"https://faß.example":               "https://xn--fa-hia.example",
		"https://a_b.example":               "https://a_b.example",
		"http://localhost:5173":             "http://localhost:5173",
		"http://127.0.0.1:5173":             "http://127.0.0.1:5173",
		"http://[::1]:5173":                 "http://[::1]:5173",
		"http://[0:0:0:0:0:0:0:1]":          "http://[::1]",
		"https://*.example.com":             "https://*.example.com",
		"https://*.Bücher.example:443":      "https://*.xn--bcher-kva.example",
		"https://*.example.com:8443":        "https://*.example.com:8443",
		"capacitor://localhost":             "capacitor://localhost",
		"tauri://localhost":                 "tauri://localhost",
		"app://Obsidian.md":                 "app://obsidian.md",
		"chrome-extension://abcdefghijklmn": "chrome-extension://abcdefghijklmn",
		"moz-extension://0b9a2d3c-1":        "moz-extension://0b9a2d3c-1",
		"ionic://localhost:80":              "ionic://localhost:80",
	} {
		got, err := httpapi.CanonicalOrigin(origin)
		if got != want || err != nil {
			t.Errorf("%q becomes %q, %v; want %q", origin, got, err, want)
			continue
		}
		if again, err := httpapi.CanonicalOrigin(got); again != got || err != nil {
			t.Errorf("%q is canonical, but becomes %q, %v", got, again, err)
		}
	}
}

func TestOriginsThatCanNeverMatch(t *testing.T) {
	for origin, reason := range map[string]string{
		"null":                            "any page",
		"":                                "scheme://host",
		"chat.example.com":                `"https://chat.example.com"`,
		"localhost:5173":                  "scheme://host",
		"//chat.example.com":              "scheme://host",
		"https:chat.example.com":          "scheme://host",
		"https://":                        "host",
		"app://":                          "host",
		"https://chat.example.com/":       `write "https://chat.example.com"`,
		"https://Chat.example.com:443/a?": `write "https://chat.example.com"`,
		"https://chat.example.com?x":      `write "https://chat.example.com"`,
		"https://chat.example.com#x":      `write "https://chat.example.com"`,
		"https://u:hunter2@chat.example":  `write "https://chat.example"`,
		"https://chat.example.com:":       "port",
		"https://chat.example.com:0":      "port",
		"https://chat.example.com:65536":  "port",
		"http://localhost:*":              "port",
		"https://*":                       "asterisk",
		"https://chat.*.com":              "asterisk",
		"https://*.*.com":                 "asterisk",
		"https://*chat.example.com":       "asterisk",
		"https://chat example.com":        "domain name",
		"https://chat..example.com":       "domain name",
		"https://chat%2eexample.com":      "domain name",
		"app://bücher":                    "domain name",
		"http://127.1":                    "IPv4",
		"http://010.0.0.1":                "IPv4",
		"http://0x7f000001":               "IPv4",
		"http://::1":                      "domain name",
		"http://[::1":                     "IPv6",
		"http://[127.0.0.1]":              "IPv6",
		"http://[fe80::1%25eth0]":         "IPv6",
		" https://chat.example.com":       "scheme://host",
		"https://chat.example.com ":       "domain name",
	} {
		got, err := httpapi.CanonicalOrigin(origin)
		if err == nil {
			t.Errorf("%q can never match, but is accepted as %q", origin, got)
		} else if !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error for %q is %q, want one with %q", origin, err, reason)
		}
	}
}
