package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing wrong with a Compose file.
type Problem struct {
	File         string // as shown: relative to Options.Dir where it lies below it
	Line, Column int    // from 1; 0 if the place is not known
	Service      string // "" if it concerns no single service
	Text         string // what is wrong
	Hint         string // what to do about it; "" if Text says so
}

// Error gives the problem on one line, without its hint.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:", p.Line)
		}
		if p.Line > 0 && p.Column > 0 {
			fmt.Fprintf(&b, "%d:", p.Column)
		}
		b.WriteByte(' ')
	}
	if p.Service != "" {
		b.WriteString(p.Service + ": ")
	}
	return b.String() + p.Text
}

// Problems is everything that is wrong, sorted by file and line.
type Problems []Problem

// Error gives a line for each problem, followed by a line for its hint.
func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for _, p := range ps {
		lines = append(lines, p.Error())
		if p.Hint != "" {
			lines = append(lines, "  hint: "+p.Hint)
		}
	}
	return strings.Join(lines, "\n")
}

// A report collects problems and warnings while files are read.
type report struct {
	src       *sources
	problems  Problems
	warnings  []string
	suspicion error // see suspect
}

// at adds a problem with what stands at path, and says hint about it.
func (r *report) at(path []string, hint, format string, args ...any) {
	p := Problem{Text: fmt.Sprintf(format, args...), Hint: hint}
	if len(path) > 1 && path[0] == "services" {
		p.Service = path[1]
	}
	p.File, p.Line, p.Column = r.src.position(path)
	r.add(p)
}

// add adds p, unless the same was said of the same place and service before. What
// it quotes from files may hold control characters; they don't reach a terminal.
func (r *report) add(p Problem) {
	p.File, p.Service, p.Text, p.Hint = printable(p.File), printable(p.Service), printable(p.Text), printable(p.Hint)
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

// printable writes control characters as Go does, such as \n and \x1b.
func printable(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }

// warn adds a sentence about a service that does not keep it from being run.
func (r *report) warn(format string, args ...any) {
	if w := printable(fmt.Sprintf(format, args...)); !slices.Contains(r.warnings, w) {
		r.warnings = append(r.warnings, w)
	}
}

// blames reports whether a problem of this service is known already, so that
// what only follows from it need not be said.
func (r *report) blames(name string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Service == name })
}

// err gives all problems in the order of the files, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Text, b.Text))
	})
	return r.problems
}
