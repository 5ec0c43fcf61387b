package bench

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const outputSize = 512 << 20

// BenchmarkOutput writes half a gibibyte of lines: through a pipe into a file, as cat
// does it, and as a service of healbot does, with rotation at 64 MiB and at 10 MiB.
func BenchmarkOutput(b *testing.B) {
	source := filepath.Join(b.TempDir(), "source")
	line := []byte(strings.Repeat("x", 99) + "\n")
	if err := os.WriteFile(source, bytes.Repeat(line, outputSize/len(line)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("cat", func(b *testing.B) {
		out := filepath.Join(b.TempDir(), "out")
		b.SetBytes(outputSize)
		for b.Loop() {
			if err := exec.Command("sh", "-c", "cat "+source+" | cat > "+out).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, size := range []string{"64m", "10m"} {
		b.Run("healbot-"+size, func(b *testing.B) {
			dir := up(b, `
services:
  web:
    provider: {type: healbot}
    command: [sh, -c, "while read x < go; do cat `+source+`; echo > done; done"]
    logging: {options: {max-size: `+size+`, max-file: "2"}}
`)
			fifos(b, dir, "go", "done")
			run(b, dir, "restart") // now that the FIFOs are there
			b.SetBytes(outputSize)
			for b.Loop() {
				say(b, filepath.Join(dir, "go"))
				hear(b, filepath.Join(dir, "done"))
			}
		})
	}
}

func fifos(b *testing.B, dir string, names ...string) {
	b.Helper()
	for _, name := range names {
		if out, err := exec.Command("mkfifo", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			b.Fatalf("%s", out)
		}
	}
}

func say(b *testing.B, fifo string) {
	b.Helper()
	if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
		b.Fatal(err)
	}
}

// hear waits for a word from a service.
func hear(b *testing.B, fifo string) string {
	b.Helper()
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(time.Minute))
	word := make([]byte, 16)
	n, err := f.Read(word)
	if err != nil {
		b.Fatal(err)
	}
	return string(word[:n])
}
