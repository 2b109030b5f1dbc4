package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/v2"
)

// Environment variables that begin with this prefix are keys of the configuration:
// PRESENCE_DATABASE__PATH is database.path.
const envPrefix = "PRESENCE_"

// variableOf returns the environment variable of a key.
func variableOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// fromEnvironment returns the values that environment variables give, in order of
// their names. defaults says which type each key has.
func fromEnvironment(variables []string, defaults *koanf.Koanf) (all []given) {
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		name, text, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		key := strings.ReplaceAll(strings.ToLower(rest), "__", ".")
		if ours && (defaults.Exists(key) || !isOfService(name, text)) {
			all = append(all, given{key, name, fromText(text, defaults.Get(key))})
		}
	}
	return all
}

// ofService matches the variables that Kubernetes and Docker create in every
// container next to a service called presence, or presence-something. See
// "Environment variables" of a Service in the documentation of Kubernetes, and
// the legacy container links of Docker. The name of a service never ends in a
// hyphen, so PRESENCE_DATABASE__NAME is a mistyped key.
var ofService = regexp.MustCompile(`^PRESENCE(_[A-Z0-9_]*[A-Z0-9])??_(` +
	`SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z0-9_]+)?)?|NAME|ENV_.*)$`)

// isOfService reports whether a variable is one of them. A bare port, such as
// PRESENCE_PORT=8080, isn't: they write an address there, tcp://10.0.0.1:8080. Nor
// is PRESENCE_LIMITS__NAME, whose two underscores make it a key.
func isOfService(name, text string) bool {
	found := ofService.FindStringSubmatch(name)
	return found != nil && !strings.Contains(found[1]+"_", "__") && (found[2] != "PORT" || strings.Contains(text, "://"))
}

// fromText returns what TOML would give for a key with this default, or the text
// as it is if that is not possible.
func fromText(text string, standard any) any {
	switch standard.(type) {
	case bool:
		if value, err := strconv.ParseBool(text); err == nil {
			return value
		}
	case int64:
		if value, err := strconv.ParseInt(text, 10, 64); err == nil {
			return value
		}
	case []any:
		list := []any{}
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			list = append(list, part)
		}
		return list
	}
	return text
}
