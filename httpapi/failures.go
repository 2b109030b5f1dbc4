package httpapi

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// failureWindow is the window in which wrong admin keys and tokens are counted. It
// starts with the first one of an address.
const failureWindow = time.Minute

// maxAddresses is the maximum number of addresses whose failures are counted. If there
// are more, one of the others is forgotten for each new one, so a flood from many
// addresses takes no more than about 2 MiB.
const maxAddresses = 1 << 14

// failures counts wrong admin keys and tokens by address.
type failures struct {
	mu      sync.Mutex
	windows map[netip.Addr]window
}

// add counts a failure and returns zero. If the failure exceeds the limit, add returns
// the remaining time of the window instead.
func (f *failures) add(client netip.Addr, most int) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.windows[client]
	if !ok {
		f.makeRoom()
	}
	wait = w.take(time.Now(), most, failureWindow)
	f.windows[client] = w
	return wait
}

// makeRoom forgets an address, if there are too many for another one.
func (f *failures) makeRoom() {
	if f.windows == nil {
		f.windows = make(map[netip.Addr]window)
	}
	for client := range f.windows { // in random order
		if len(f.windows) < maxAddresses {
			return
		}
		delete(f.windows, client)
	}
}

// failed counts a request whose credentials were rejected with err, if err says that
// they were wrong, and returns the error of the response. Requests without credentials
// don't count, and neither do credentials that were right once.
func (h *Handler) failed(r *http.Request, err error) error {
	code := presence.ErrorCode(err)
	if code != CodeInvalidToken && (code != CodeForbidden || bearer(r) == "") || errors.Is(err, errKeyRemoved) {
		return err
	}
	wait := h.failures.add(h.proxies.client(r), h.limits.Load().Failures)
	if wait == 0 {
		return err
	}
	h.meters.failures.Inc()
	return &refusal{err: fail(CodeTooOften, "too many wrong keys or tokens from this address"), after: wait}
}

// proxies are the networks whose hosts are trusted to name the client of a request.
type proxies []netip.Prefix

// client returns the address of the client of a request; of an IPv6 address the first
// 64 bits, because one client has them all. It is the zero value if the address isn't
// known.
func (p proxies) client(r *http.Request) netip.Addr {
	if reported := p.reported(r); reported.IsValid() {
		return network(reported)
	}
	peer, _ := parseHost(r.RemoteAddr)
	return network(peer)
}

// peer returns the address of the client for the log. It has no port if a trusted proxy
// reports it.
func (p proxies) peer(r *http.Request) string {
	if reported := p.reported(r); reported.IsValid() {
		return reported.String()
	}
	return r.RemoteAddr
}

// reported returns the address of the client that trusted proxies report in the headers
// of a request, or the zero value if they report none.
func (p proxies) reported(r *http.Request) (client netip.Addr) {
	peer, known := parseHost(r.RemoteAddr)
	if len(p) == 0 || known && !p.trust(peer) { // a proxy on a Unix socket has no address
		return client
	}
	for _, hop := range slices.Backward(hops(r.Header)) {
		addr, ok := parseHost(hop)
		if !ok {
			break
		}
		if client = addr; !p.trust(addr) {
			break
		}
	}
	return client
}

func (p proxies) trust(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// network returns the part of an address by which failures are counted.
func network(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}

// hops returns the addresses that proxies have added to a request, in the order in which
// it passed them. X-Forwarded-For takes precedence over Forwarded.
func hops(header http.Header) []string {
	if lines := header.Values("X-Forwarded-For"); len(lines) > 0 {
		return strings.Split(strings.Join(lines, ","), ",")
	}
	var all []string
	for element := range strings.SplitSeq(strings.Join(header.Values("Forwarded"), ","), ",") {
		hop := ""
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(pair, "="); strings.EqualFold(strings.TrimSpace(name), "for") {
				hop = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
		all = append(all, hop)
	}
	return all
}

// parseHost returns the address of a host with or without a port.
func parseHost(text string) (addr netip.Addr, ok bool) {
	text = strings.TrimSpace(text)
	if both, err := netip.ParseAddrPort(text); err == nil {
		addr = both.Addr()
	} else if addr, err = netip.ParseAddr(strings.Trim(text, "[]")); err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}
