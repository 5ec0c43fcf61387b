package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// writerEnv makes TestFaultF1Writer a supervisor of the directory that it names.
const writerEnv = "HEALBOT_TEST_WRITER"

// TestFaultF1Writer is the process that TestFaultF1 kills: a supervisor of a service that
// crashes all the time, whose files are written without a pause.
func TestFaultF1Writer(t *testing.T) {
	dir := os.Getenv(writerEnv)
	if dir == "" {
		t.Skip("it is a part of TestFaultF1")
	}
	b := newFakes()
	b.born = func(f *fake) { f.end(service.Exit{Code: 1}) }
	p := project(t, dir, svc("web"), svc("db"))
	for _, name := range []string{"web", "db"} {
		p.Policies[name] = policy.Policy{Condition: policy.Always, Delay: time.Millisecond, Factor: 1, MaxDelay: time.Millisecond}
	}
	r, _, err := New(p, Config{Backends: map[service.Kind]Backend{service.Native: b}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := r.Apply(context.Background(), Plan{Project: p, Adopting: true}); err != nil {
			panic(err)
		}
		fmt.Println("writing")
		for {
			r.files.flush(r.life)
		}
	}()
	t.Fatal(r.Run(context.Background()))
}

// The supervisor is killed 200 times while it writes: whoever reads the status file
// always finds a whole one, and no seq falls.
func TestFaultF1(t *testing.T) {
	dir := t.TempDir()
	r := &reader{T: t, path: StatusPath(dir), last: map[string]int{}}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.look()
			}
		}
	})
	for range 200 {
		killedWriter(t, dir)
	}
	close(stop)
	reading.Wait()
	if r.looks < 1000 || r.steps < 200 {
		t.Errorf("only %d looks and %d steps", r.looks, r.steps)
	}
	t.Logf("200 kills, %d looks, seq %v", r.looks, r.last)
	if _, err := openFiles(dir, Config{}); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*status*"))
	torn, _ := filepath.Glob(filepath.Join(StateDir(dir), ".*"))
	if len(left) != 1 || len(torn) != 0 {
		t.Errorf("kills left %v %v", left, torn)
	}
}

func killedWriter(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFaultF1Writer$")
	cmd.Env = append(os.Environ(), writerEnv+"="+dir, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 100)
	n, err := out.Read(word)
	if err != nil || !strings.HasPrefix(string(word[:n]), "writing") {
		_ = cmd.Process.Kill()
		t.Fatalf("the writer said %q, %v", word[:n], err)
	}
	time.Sleep(rand.N(20 * time.Millisecond)) // anywhere in a write, or between two
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// A reader is somebody else's program.
type reader struct {
	*testing.T
	path         string
	last         map[string]int
	looks, steps int
}

func (r *reader) look() {
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) && len(r.last) == 0 {
		return
	}
	var all map[string]service.Status
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) != 2 {
		r.Errorf("look %d: %v: %q", r.looks, err, text)
	}
	r.looks++
	for name, st := range all {
		if st.Seq < r.last[name] {
			r.Errorf("look %d: seq of %s fell from %d to %d", r.looks, name, r.last[name], st.Seq)
		}
		if st.Seq > r.last[name] {
			r.steps++
		}
		r.last[name] = st.Seq
	}
}
