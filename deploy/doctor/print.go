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
		fmt.Fprintf(&b, "%-6s %-14s %s\n", f.Verdict, f.Check, f.Found)
		if f.Verdict == Fault {
			r.printMend(&b, f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const margin = "       "

// printMend writes the lines for the proxy that is there, or for all of them.
func (r Report) printMend(b *strings.Builder, f Finding) {
	fmt.Fprintf(b, "%s%s\n", margin, f.Means)
	for _, place := range places {
		lines := f.Mend[place]
		if lines == "" || isProxy(place) && !r.mayBeBehind(place) {
			continue
		}
		fmt.Fprintf(b, "%s%s:\n%s    %s\n", margin, place, margin, strings.ReplaceAll(lines, "\n", "\n"+margin+"    "))
	}
	b.WriteByte('\n')
}

// mayBeBehind reports whether a proxy isn't known to be another one. Traefik
// says nothing of itself.
func (r Report) mayBeBehind(place string) bool {
	for _, known := range []string{"nginx", "Caddy"} {
		if strings.Contains(strings.ToLower(r.Proxy), strings.ToLower(known)) {
			return place == known
		}
	}
	return true
}
