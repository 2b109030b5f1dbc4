package main

import (
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/knadh/koanf/v2"
	"github.com/presence-server/presence/httpapi/webhook"
)

// shownConfig is the configuration in force, as the server API shows it: without
// secrets, and with URLs without user and query.
type shownConfig struct{ keys atomic.Pointer[koanf.Koanf] }

func newShownConfig(k *koanf.Koanf) *shownConfig {
	s := new(shownConfig)
	s.keys.Store(k.Copy())
	for _, key := range k.Keys() {
		s.set(key, visible(key, k.Get(key)))
	}
	if list, ok := k.Get("listen").([]any); ok && len(list) == 1 {
		s.set("listen", visible("listen", list[0])) // as most write it
	}
	return s
}

// tables returns the tables of presence.toml, by name.
func (s *shownConfig) tables() map[string]any { return s.keys.Load().Raw() }

// set sets the value of a key. It must not be called while others read.
func (s *shownConfig) set(key string, value any) { s.keys.Load().Set(key, value) }

// replace shows the configuration that was read again, except for the keys and
// tables that keep their values until the next start.
func (s *shownConfig) replace(reread *shownConfig, fixed []string) {
	for _, key := range fixed {
		reread.set(key, s.keys.Load().Get(key))
	}
	s.keys.Store(reread.keys.Load())
}

// visible returns the value of a key as the server API shows it. An empty secret is
// shown, because it means that there is none.
func visible(key string, value any) any {
	if list, ok := value.([]any); ok {
		all := make([]any, 0, len(list))
		for _, one := range list {
			all = append(all, visible(key, one))
		}
		return all
	}
	text, isText := value.(string)
	switch {
	case key == "webhooks.urls":
		return webhook.Show(text)
	case value != "" && shown(key, value) == hidden:
		return hidden
	case isText:
		return plainURL(text)
	}
	return value
}

// plainURL returns a URL without user, query and fragment, which may be secret. Any
// other text is returned as it is.
func plainURL(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if u.User == nil && !u.ForceQuery && u.RawQuery == "" && u.Fragment == "" {
		return text
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
