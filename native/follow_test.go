package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/service"
)

func tail(t *testing.T, path string, n int) []string {
	t.Helper()
	var got []string
	err := Logs(deadline(t), path, service.LogOptions{Tail: n}, func(_ time.Time, b []byte) error {
		got = append(got, string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	if got := tail(t, path, 10); got != nil {
		t.Errorf("of no file: %q", got)
	}
	for name, s := range map[string]string{".2": "a\nb\n", ".1": "c\nd\n", "": "e\n\nf"} {
		if err := os.WriteFile(path+name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"a", "b", "c", "d", "e", "", "f"}
	for n := 0; n <= 9; n++ {
		want := all[max(0, len(all)-n):]
		if diff := cmp.Diff(strings.Join(want, ","), strings.Join(tail(t, path, n), ",")); diff != "" {
			t.Errorf("tail %d: %s", n, diff)
		}
	}
	if diff := cmp.Diff(all, tail(t, path, -1)); diff != "" {
		t.Error(diff)
	}
}

func TestTailOfALongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	long := strings.Repeat("y", 200_000)
	if err := os.WriteFile(path, []byte("first\n"+long+"\nlast\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := tail(t, path, 2)
	if len(got) != 5 || strings.Join(got[:4], "") != long || got[4] != "last" {
		t.Errorf("%d pieces", len(got))
	}
	for _, p := range got {
		if len(p) > 64<<10 {
			t.Errorf("a piece of %d bytes", len(p))
		}
	}
}

// collector follows a log.
type collector struct {
	mu    sync.Mutex // guards what follows
	lines []string
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

func followed(t *testing.T, path string, n int) (*collector, func()) {
	t.Helper()
	c := &collector{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Logs(ctx, path, service.LogOptions{Tail: n, Follow: true}, func(_ time.Time, b []byte) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lines = append(c.lines, string(bytes.Clone(b)))
			return nil
		})
	}()
	var once sync.Once
	end := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("follow: %v", err)
			}
		})
	}
	t.Cleanup(end)
	return c, end
}

func TestFollowAcrossRotationAndRestart(t *testing.T) {
	const n = 20000
	dir := t.TempDir()
	b := newBackend(t, dir)
	path := filepath.Join(dir, "logs", "web.log")
	c, end := followed(t, path, -1)
	var want strings.Builder
	for run := 1; run <= 2; run++ {
		svc := self(dir, "lines", fmt.Sprint(n), "1")
		svc.Process.Log = service.Log{MaxSize: 100 << 10, MaxFiles: 50}
		wait(t, start(t, b, svc))
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&want, "line %09d %s\n", i, strings.Repeat("x", i%97))
		}
	}
	until(t, "all lines", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.lines) >= 2*n })
	end()
	if got := c.text() + "\n"; got != want.String() {
		t.Errorf("followed %d bytes, written %d", len(got), want.Len())
	}
}

func TestFollowByHand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "web.log")
	c, _ := followed(t, path, -1)
	add := func(s string) {
		t.Helper()
		add(t, path, s)
	}
	see := func(want string) {
		t.Helper()
		until(t, want, func() bool { return c.text() == want })
	}
	until(t, "folder", func() bool { _, err := os.Stat(filepath.Dir(path)); return err == nil })
	add("a\nb")
	see("a\nb") // the unfinished line after a pause
	add("c\n")
	see("a\nb\nc")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	add("d\n")
	see("a\nb\nc\nd")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	add("e\n")
	see("a\nb\nc\nd\ne")
}

// Whoever stops following after the last line has it, however soon that is.
func TestFollowToTheLastLine(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "web.log")
		c, end := followed(t, path, -1)
		add(t, path, "begun\n")
		until(t, "the first line", func() bool { return c.text() == "begun" })
		add(t, path, "on\nlast words")
		end()
		if got := c.text(); got != "begun\non\nlast words" {
			t.Fatalf("followed %q", got)
		}
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestEmitFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	if err := os.WriteFile(path, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	err := Logs(deadline(t), path, service.LogOptions{Tail: -1, Follow: true}, func(_ time.Time, _ []byte) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}
