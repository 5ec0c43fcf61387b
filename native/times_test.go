package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/healing-bot/healbot/service"
)

// timedLines gives the lines of a log with their times.
func timedLines(t *testing.T, path string, o service.LogOptions) (at []time.Time, lines []string) {
	t.Helper()
	err := Logs(deadline(t), path, o, func(when time.Time, line []byte) error {
		at, lines = append(at, when), append(lines, string(line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return at, lines
}

// checkStamps compares the time of each line with the one that the service wrote into
// it, in nanoseconds: never later by more than the pump takes, never much earlier. A
// keeper that has to wait for a processor takes its time for both.
func checkStamps(t *testing.T, n int, at []time.Time, lines []string, late time.Duration) {
	t.Helper()
	if len(lines) != n {
		t.Fatalf("%d lines, want %d", len(lines), n)
	}
	for i, line := range lines {
		ns, err := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
		if err != nil {
			t.Fatalf("line %d is %q", i, line)
		}
		off := at[i].Sub(time.Unix(0, ns))
		if off < -time.Second || off > late {
			t.Fatalf("line %d of %d, written at %d, bears a time %v off", i, n, ns, off)
		}
	}
}

// The keeper is killed again and again while lines come and the log is rotated: each
// line bears its time, the sooner or later by what a new keeper takes.
func TestTimesUnderKillsAndRotation(t *testing.T) {
	dir := t.TempDir()
	b, enough := newBackend(t, dir), filepath.Join(dir, "enough")
	svc := self(dir, "clock", "3000", enough)
	svc.Process.Log = service.Log{MaxSize: 16 << 10, MaxFiles: 1000}
	in := start(t, b, svc)
	path := filepath.Join(dir, "logs", "web.log")
	n := killing(t, dir, in, enough, 120*time.Millisecond)
	at, lines := timedLines(t, path, service.LogOptions{Tail: -1})
	checkStamps(t, n, at, lines, 10*time.Second)
	if !Timed(path) {
		t.Error("times are missing")
	}
	indexes, _ := filepath.Glob(filepath.Join(dir, "logs", ".times", "web.log", "*"))
	logs, _ := filepath.Glob(path + "*")
	if len(indexes) != len(logs) || len(logs) < 5 {
		t.Errorf("%d indexes of %d logs", len(indexes), len(logs))
	}
}

func TestSinceAndUntil(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	svc := self(dir, "clock", fmt.Sprint(n))
	svc.Process.Log = service.Log{MaxSize: 16 << 10, MaxFiles: 100}
	wait(t, start(t, newBackend(t, dir), svc))
	path := filepath.Join(dir, "logs", "web.log")
	at, lines := timedLines(t, path, service.LogOptions{Tail: -1})
	checkStamps(t, n, at, lines, 5*time.Second)
	want := func(o service.LogOptions) (s []string) {
		for i := range at {
			if !at[i].Before(o.Since) && (o.Until.IsZero() || !at[i].After(o.Until)) {
				s = append(s, lines[i])
			}
		}
		if o.Tail >= 0 && len(s) > o.Tail {
			s = s[len(s)-o.Tail:]
		}
		return s
	}
	first, last := at[0], at[n-1]
	mid := first.Add(last.Sub(first) / 2)
	for _, o := range []service.LogOptions{
		{Tail: -1, Since: first},
		{Tail: -1, Since: mid},
		{Tail: -1, Until: mid},
		{Tail: 7, Until: mid},
		{Tail: 7, Since: mid},
		{Tail: 0, Until: mid},
		{Tail: -1, Since: at[n/4], Until: at[n/2]},
		{Tail: -1, Since: last.Add(time.Hour)},
		{Tail: -1, Since: last.Add(-time.Millisecond)},
		{Tail: -1, Until: first.Add(-time.Hour)},
	} {
		_, got := timedLines(t, path, o)
		if strings.Join(got, "\n") != strings.Join(want(o), "\n") {
			t.Errorf("%+v: %d lines, want %d", o, len(got), len(want(o)))
		}
	}
}

// A log that was there before has no times; a cut one loses those that it had.
func TestTimesOfOlderLogs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "web.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	file(t, path, "older\n")
	b := newBackend(t, dir)
	began := time.Now().Add(-time.Second)
	wait(t, start(t, b, sh(dir, "echo newer")))
	at, lines := timedLines(t, path, service.LogOptions{Tail: -1})
	if len(at) != 2 || !at[0].IsZero() || at[1].Before(began) || Timed(path) {
		t.Errorf("%v %q", at, lines)
	}
	if _, lines := timedLines(t, path, service.LogOptions{Tail: -1, Since: time.Unix(1, 0)}); len(lines) != 1 || lines[0] != "newer" {
		t.Errorf("since: %q", lines)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	wait(t, start(t, b, sh(dir, "echo last")))
	if at, lines := timedLines(t, path, service.LogOptions{Tail: -1}); len(at) != 1 || lines[0] != "last" || at[0].Before(began) || !Timed(path) {
		t.Errorf("after a cut: %v %q", at, lines)
	}
}

// ended reports whether the instance ended within d.
func ended(in *Instance, d time.Duration) bool {
	select {
	case <-in.done:
		return true
	case <-time.After(d):
		return false
	}
}
