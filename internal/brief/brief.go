// Package brief makes one line for people of what others say at length: an error, the
// output of a program.
package brief

import (
	"bytes"
	"strings"
	"unicode"
)

// longest is the number of characters that a line may have.
const longest = 200

// Line makes text fit for one line of a table.
func Line(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

// A Last keeps the last line that is not blank of what is written to it.
type Last struct{ line, last []byte }

// Write implements io.Writer; it never fails.
func (l *Last) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		text, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		if room := 5*longest - len(l.line); room > 0 { // in bytes: more than can be shown
			l.line = append(l.line, text[:min(room, len(text))]...)
		}
		if ended {
			l.keep()
			l.line = l.line[:0]
		}
	}
	return len(p), nil
}

func (l *Last) keep() {
	if len(bytes.TrimSpace(l.line)) > 0 {
		l.last = append(l.last[:0], l.line...)
	}
}

// String gives the line, also one that has no newline yet.
func (l *Last) String() string {
	l.keep()
	return Line(string(l.last))
}
