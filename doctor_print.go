package main

import (
	"fmt"
	"io"
	"strings"
)

// verdict is the result of a check.
type verdict string

// The verdicts, as they are printed.
const (
	verdictGood       verdict = "ok"
	verdictProblem    verdict = "PROBLEM"
	verdictUnmeasured verdict = "?"
)

// finding is the result of one check, with its explanation.
type finding struct {
	check   string // the name of the check, in one or two words
	verdict verdict
	found   string    // what was measured, or the reason why it could not be
	means   string    // what users notice; empty unless the verdict is verdictProblem
	fix     doctorFix // the lines that fix it; nil if there is no problem, or no lines are known
}

// doctorReport is the result of an examination. Its findings are in the order of the
// checks.
type doctorReport struct {
	url      string
	proxy    string // the name that the nearest proxy reports in its responses, or ""
	findings []finding
}

func (d *doctor) found(f finding) { d.report.findings = append(d.report.findings, f) }

func (d *doctor) good(check, format string, args ...any) {
	d.found(finding{check: check, verdict: verdictGood, found: fmt.Sprintf(format, args...)})
}

func (d *doctor) problem(check, found, means string, fix doctorFix) {
	d.found(finding{check: check, verdict: verdictProblem, found: found, means: means, fix: fix})
}

func (d *doctor) unmeasured(check, format string, args ...any) {
	d.found(finding{check: check, verdict: verdictUnmeasured, found: fmt.Sprintf(format, args...)})
}

// worst returns verdictProblem if there is a problem, otherwise verdictUnmeasured if
// a check could not be made, and otherwise verdictGood.
func (r doctorReport) worst() verdict {
	worst := verdictGood
	for _, f := range r.findings {
		if f.verdict == verdictProblem {
			return verdictProblem
		}
		if f.verdict == verdictUnmeasured {
			worst = verdictUnmeasured
		}
	}
	return worst
}

// print writes the report for a person to read. What a proxy or server has sent is
// escaped as in the output of the other commands.
func (r doctorReport) print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.url)
	if r.proxy != "" {
		fmt.Fprintf(&b, ", behind %s", printable(r.proxy))
	}
	b.WriteString("\n\n")
	for _, f := range r.findings {
		fmt.Fprintf(&b, "%-7s %-14s %s\n", f.verdict, f.check, printable(f.found))
		if f.verdict == verdictProblem {
			r.printFix(&b, f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const margin = "        "

// printFix writes the lines for the proxy that is used, or for all proxies if it isn't
// known.
func (r doctorReport) printFix(b *strings.Builder, f finding) {
	fmt.Fprintf(b, "%s%s\n", margin, f.means)
	for _, place := range fixPlaces {
		lines := f.fix[place]
		if lines == "" || isProxy(place) && !r.mayBeBehind(place) {
			continue
		}
		fmt.Fprintf(b, "%s%s:\n%s    %s\n", margin, place, margin, strings.ReplaceAll(lines, "\n", "\n"+margin+"    "))
	}
	b.WriteByte('\n')
}

// mayBeBehind reports whether a place can be the proxy that is used. Traefik sends
// no header with its name.
func (r doctorReport) mayBeBehind(place string) bool {
	for _, known := range []string{"nginx", "Caddy"} {
		if strings.Contains(strings.ToLower(r.proxy), strings.ToLower(known)) {
			return place == known
		}
	}
	return true
}
