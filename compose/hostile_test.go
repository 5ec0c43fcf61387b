package compose

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// seed gives the sample file of the README.
func seed(t testing.TB) []byte {
	t.Helper()
	ar, err := txtar.ParseFile("testdata/sample.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return ar.Files[0].Data
}

func loadBytes(t testing.TB, dir string, content []byte) error {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(t.Context(), Options{Dir: dir})
	return err
}

// A file that was cut off anywhere is a project or a list of problems, never a panic.
func TestTruncatedFiles(t *testing.T) {
	whole, dir := seed(t), t.TempDir()
	for n := range whole {
		_ = loadBytes(t, dir, whole[:n])
	}
}

// Nor does a file with some of its bytes changed end in a panic.
func TestDamagedFiles(t *testing.T) {
	whole, dir := seed(t), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	const alphabet = "{}[]:,-&*!|>'\"#%@`<~ \n\tabxz019.$\x00\xff"
	for range 400 {
		damaged := bytes.Clone(whole)
		for range 1 + r.IntN(5) {
			damaged[r.IntN(len(damaged))] = alphabet[r.IntN(len(alphabet))]
		}
		_ = loadBytes(t, dir, damaged)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(seed(f))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		_ = loadBytes(t, dir, content)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// What would eat all memory, or hours, is refused at once.
func TestBombs(t *testing.T) {
	aliases := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		n, m := string(rune('0'+i)), string(rune('1'+i))
		aliases += "a" + m + ": &a" + m + " [" + strings.Repeat("*a"+n+",", 9) + "]\n"
	}
	for name, text := range map[string]string{
		"aliases":    aliases + "services: {a: {image: *a9}}",
		"self alias": "services: &s {a: *s}",
		"depth":      strings.Repeat("[", 100_000),
		"deep map":   strings.Repeat("{a: ", 100_000),
		"large":      "services: {a: {image: " + strings.Repeat("x", maxFile) + "}}",
		"merge loop": "x: &x {<<: *x}\nservices: {a: {<<: *x, image: x}}",
	} {
		start := time.Now()
		err := loadBytes(t, t.TempDir(), []byte(text))
		if err == nil || time.Since(start) > 20*time.Second {
			t.Errorf("%s: error %.80v after %v", name, err, time.Since(start))
		}
	}
}

// Pipes and devices are refused wherever a file is named, and never waited for.
func TestIrregularFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, fifo string }{
		"the file":   {"", "compose.yaml"},
		".env":       {"services: {a: {image: x}}", ".env"},
		"env_file":   {"services: {a: {image: x, env_file: pipe}}", "pipe"},
		"label_file": {"services: {a: {image: x, label_file: [pipe]}}", "pipe"},
		"include":    {"include: [pipe]\nservices: {a: {image: x}}", "pipe"},
		"extends":    {"services: {a: {extends: {file: pipe, service: b}}}", "pipe"},
	} {
		dir := t.TempDir()
		if c.text != "" {
			if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(filepath.Join(dir, c.fifo), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := Load(t.Context(), Options{Dir: dir, Files: []string{"/dev/zero"}}); err == nil {
		t.Error("/dev/zero was read")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRelativeDirIsRefused(t *testing.T) {
	if _, err := Load(t.Context(), Options{Dir: "."}); err == nil {
		t.Error("no error")
	}
}
