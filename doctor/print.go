package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Print writes the report for a person to read.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.URL)
	if r.Proxy != "" {
		fmt.Fprintf(&b, ", behind %s", r.Proxy)
	}
	b.WriteString("\n\n")
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-7s %-14s %s\n", f.Verdict, f.Check, f.Found)
		if f.Verdict == Problem {
			r.printFix(&b, f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const margin = "        "

// printFix writes the lines for the proxy that is used, or for all proxies if it isn't known.
func (r Report) printFix(b *strings.Builder, f Finding) {
	fmt.Fprintf(b, "%s%s\n", margin, f.Means)
	for _, place := range places {
		lines := f.Fix[place]
		if lines == "" || isProxy(place) && !r.mayBeBehind(place) {
			continue
		}
		fmt.Fprintf(b, "%s%s:\n%s    %s\n", margin, place, margin, strings.ReplaceAll(lines, "\n", "\n"+margin+"    "))
	}
	b.WriteByte('\n')
}

// mayBeBehind reports whether a place can be the proxy that is used. Traefik sends
// no header with its name.
func (r Report) mayBeBehind(place string) bool {
	for _, known := range []string{"nginx", "Caddy"} {
		if strings.Contains(strings.ToLower(r.Proxy), strings.ToLower(known)) {
			return place == known
		}
	}
	return true
}
