package main

import (
	"testing"
	"time"
)

func TestMomentReadsWhatDockerDoes(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"2026-01-02":                day,
		"2026-01-02T03:04":          day.Add(3*time.Hour + 4*time.Minute),
		"2026-01-02T03:04:05":       day.Add(3*time.Hour + 4*time.Minute + 5*time.Second),
		"2026-01-02T03:04:05+01:00": time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
		"1767312000.5":              time.Unix(1767312000, 5e8),
		"":                          {},
	} {
		if got, err := moment("since", text); err != nil || !got.Equal(want) {
			t.Errorf("moment(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := moment("since", "10m"); err != nil || time.Since(got).Round(time.Minute) != 10*time.Minute {
		t.Errorf("moment(10m) = %v, %v", got, err)
	}
}
