package main

import (
	"context"
	"log/slog"
	"strings"
)

// A voice is a log for a person who watches: warnings and errors, as this program says
// everything else.
type voice struct {
	warn func(format string, args ...any)
}

func (c *cli) voice() slog.Handler { return voice{c.warn} }

// Enabled implements slog.Handler.
func (voice) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler. What a record is about comes first, and why it came last.
func (v voice) Handle(_ context.Context, r slog.Record) error {
	var about, why string
	r.Attrs(func(a slog.Attr) bool {
		if text := a.Value.String(); a.Key == "why" || a.Key == "error" {
			why += ": " + text
		} else if a.Key != "project" {
			about += text + ": "
		}
		return true
	})
	v.warn("%s", about+r.Message+strings.ReplaceAll(why, "\n", "; "))
	return nil
}

// WithAttrs implements slog.Handler; nobody uses it here.
func (v voice) WithAttrs([]slog.Attr) slog.Handler { return v }

// WithGroup implements slog.Handler; nobody uses it here.
func (v voice) WithGroup(string) slog.Handler { return v }
