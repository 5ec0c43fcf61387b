package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// program is healbot, built once for all benchmarks here.
var program string

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "beat" {
		beat(os.Args[2])
	}
	dir, err := os.MkdirTemp("", "healbot-bench")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "healbot")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/healbot").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build healbot: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// beat is a service that says its pid on a FIFO once it runs.
func beat(fifo string) {
	if err := os.WriteFile(fifo, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		os.Exit(1)
	}
	time.Sleep(time.Hour)
}

// up brings up a project in a folder of its own, and down when b ends.
func up(b *testing.B, file string) (dir string) {
	b.Helper()
	dir = b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "healbot-compose.yml"), []byte("name: bench\n"+file), 0o600); err != nil {
		b.Fatal(err)
	}
	run(b, dir, "up", "-d")
	b.Cleanup(func() { run(b, dir, "down", "-t", "1") })
	return dir
}

func run(b *testing.B, dir string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("healbot %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// pids gives the processes of the program that work for dir: "supervisor" and "keeper".
func pids(dir string) map[string]int {
	found := map[string]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		words := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		switch {
		case words[0] != program:
		case len(words) == 3 && words[1] == "keeper" && words[2] == dir:
			found["keeper"] = pid
		case cwd == dir || strings.Contains(string(text), dir):
			found["supervisor"] = pid
		}
	}
	return found
}
