package httpapi

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// AnyOrigin in [Config].Origins admits the pages of every origin, but without
// the cookies of the users who visit them.
const AnyOrigin = "*"

// CanonicalOrigin returns an origin as browsers send it in the Origin header:
// the scheme and the host in lower case, the host in ASCII, without the default
// port. It accepts scheme://host[:port] of any scheme, scheme://*.host[:port]
// for all subdomains of a host, and [AnyOrigin]. The error for anything else
// gives the reason, and the form to write where it is known. It never repeats a
// user name or a password.
func CanonicalOrigin(origin string) (string, error) {
	switch origin {
	case AnyOrigin:
		return origin, nil
	case "null":
		return "", errors.New("browsers send null for every page without an origin (files, sandboxed frames), " +
			"so it would admit any page; serve the page from an origin and list that")
	}
	scheme, rest, ok := strings.Cut(origin, "://")
	if scheme = strings.ToLower(scheme); !ok || !schemes.MatchString(scheme) {
		return "", errors.New(`an origin has the form scheme://host or scheme://host:port, such as "https://chat.example.com"`)
	}
	authority, extra := cutAny(rest, `/\?#`)
	user := strings.LastIndexByte(authority, '@')
	host, err := canonicalAuthority(scheme, authority[user+1:])
	if err != nil {
		return "", err
	}
	canonical := scheme + "://" + host
	if extra != "" || user >= 0 {
		return "", fmt.Errorf("an origin has no user, path, query or fragment; write %q", canonical)
	}
	return canonical, nil
}

var schemes = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)

// cutAny cuts the text before the first occurrence of any of the characters.
func cutAny(text, characters string) (before, from string) {
	if i := strings.IndexAny(text, characters); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// defaultPorts are the ports that browsers omit from an origin, by scheme.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

func canonicalAuthority(scheme, authority string) (string, error) {
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("the port must be a number from 1 to 65535")
		}
		if port = ":" + strconv.FormatUint(n, 10); port == ":"+defaultPorts[scheme] {
			port = ""
		}
	}
	domain, wildcard := strings.CutPrefix(host, "*.")
	if strings.Contains(domain, "*") {
		return "", errors.New(`an asterisk can only be the first label of a host, such as "https://*.example.com"`)
	}
	domain, err := canonicalHost(scheme, domain)
	if err != nil {
		return "", err
	}
	if wildcard {
		domain = "*." + domain
	}
	return domain + port, nil
}

// hostNames are the characters that a host has once it is in ASCII.
var hostNames = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$`)

// lookup converts host names as browsers do.
func lookup() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false), idna.StrictDomainName(false))
}

func canonicalHost(scheme, host string) (string, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" || ip.Is4In6() || !strings.HasSuffix(inner, "]") {
			return "", errors.New(`an address in brackets must be IPv6, such as "http://[::1]:8080"`)
		}
		return "[" + ip.String() + "]", nil
	}
	ascii := strings.ToLower(host)
	if defaultPorts[scheme] != "" { // only there do browsers convert the host
		var err error
		if ascii, err = lookup().ToASCII(host); err != nil {
			return "", errors.New("the host is not a domain name")
		}
	}
	if !hostNames.MatchString(ascii) {
		return "", errors.New("the host must be a domain name or an IP address")
	}
	if endsInNumber(ascii) && defaultPorts[scheme] != "" {
		if ip, err := netip.ParseAddr(ascii); err != nil || !ip.Is4() {
			return "", errors.New("an IPv4 address must have four decimal numbers without leading zeros")
		}
	}
	return ascii, nil
}

// endsInNumber reports whether browsers interpret a host as an IPv4 address.
func endsInNumber(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	_, err := strconv.ParseUint(labels[len(labels)-1], 0, 64)
	return err == nil
}
