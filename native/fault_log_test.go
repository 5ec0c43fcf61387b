package native

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/healing-bot/healbot/service"
)

// A line of 100 MiB is in the log to its last byte, whole or across rotated files, and
// costs the keeper nothing to speak of.
func TestFaultE3(t *testing.T) {
	const size = 100 << 20
	for name, log := range map[string]service.Log{
		"in one file":      {MaxSize: 1 << 30, MaxFiles: 3},
		"across rotations": {MaxSize: 10 << 20, MaxFiles: 30},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := newBackend(t, dir)
			svc := sh(dir, fmt.Sprintf(`while ! test -e go; do sleep 0.01; done; head -c %d /dev/zero | tr '\0' x; echo; echo end`, size))
			svc.Process.Log = log
			in := start(t, b, svc)
			keeper := keeperPID(t, dir)
			before := peak(t, keeper)
			file(t, filepath.Join(dir, "go"), "")
			wait(t, in)
			grown := peak(t, keeper) - before
			if grown > 20<<10 {
				t.Errorf("the keeper grew by %d KiB", grown)
			}
			files := openAll(filepath.Join(dir, "logs", "web.log"))
			var rest []byte
			count := 0
			for _, f := range files {
				buf := make([]byte, 1<<20)
				for {
					n, err := f.Read(buf)
					if errors.Is(err, io.EOF) {
						break
					}
					part := bytes.TrimLeft(buf[:n], "x")
					count += n - len(part)
					rest = append(rest, part...)
				}
				f.Close()
			}
			if count != size || string(rest) != "\nend\n" {
				t.Errorf("%d bytes of %d, then %d others", count, size, len(rest))
			}
			t.Logf("%d files; the keeper grew by %d KiB", len(files), grown)
		})
	}
}

// peak gives the most memory, in KiB, that a process ever used.
func peak(t *testing.T, pid int) (kib int) {
	t.Helper()
	status := read(t, fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(status, "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// The supervisor is killed ten times and more, 10 to 40 ms after it has adopted a service
// that writes 200,000 lines and more, in every third round with the keeper.
func TestFaultB2(t *testing.T) {
	dir := t.TempDir()
	_ = newBackend(t, dir)
	exe, _ := os.Executable()
	enough := filepath.Join(dir, "enough")
	_, kill := supervisor(t, dir, "sh", "-c", fmt.Sprintf("%s fixture lines 200000 0 8ms %s; exec sleep 1000", exe, enough))
	kill()
	n, kills, keepers := 0, 0, 0
	written := func() bool {
		if kills < 10 || keepers < 3 {
			return false
		}
		if _, err := os.Stat(enough); err != nil {
			file(t, enough, "")
		}
		_, _ = fmt.Sscan(read(t, enough), &n)
		return n > 0 && strings.Contains(readFrom(filepath.Join(dir, "logs", "web.log"), 0, 1<<10), fmt.Sprintf("line %09d ", n))
	}
	for late := time.Now().Add(5 * time.Minute); !written(); kills++ {
		if time.Now().After(late) {
			t.Fatal("not all is written")
		}
		heir := exec.Command(exe, "fixture", "heir", dir)
		out, err := heir.StdoutPipe()
		if err == nil {
			err = heir.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said := bufio.NewReader(out)
		if line, _ := said.ReadString('\n'); line != "adopted\n" {
			t.Fatal(line)
		}
		time.AfterFunc(10*time.Millisecond+rand.N(30*time.Millisecond), func() { _ = heir.Process.Kill() })
		if line, _ := said.ReadString('\n'); line != "" {
			t.Fatalf("adopted, then %q", line)
		}
		_ = heir.Wait()
		if kills%3 == 0 && killKeeper(t, dir) {
			keepers++
		}
	}
	numbered(t, n, dir)
	t.Logf("%d lines, %d kills of the supervisor, %d of the keeper", n, kills, keepers)
}

// A follower that stops reading finds everything that is still there when it goes on,
// and is told if that is not all.
func TestFaultE9(t *testing.T) {
	for name, c := range map[string]struct {
		log    service.Log
		missed bool
	}{
		"all is kept":     {service.Log{MaxSize: 1 << 20, MaxFiles: 10}, false},
		"some is rotated": {service.Log{MaxSize: 64 << 10, MaxFiles: 3}, true},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 100_000
			dir := t.TempDir()
			b := newBackend(t, dir)
			svc := sh(dir, fmt.Sprintf("echo 0; while ! test -e go; do sleep 0.01; done; seq 1 %d", n))
			svc.Process.Log = c.log
			in := start(t, b, svc)
			var got []string
			stuck, goOn, over := make(chan bool), make(chan bool), errors.New("over")
			ended := make(chan error, 1)
			go func() {
				ended <- Logs(deadline(t), filepath.Join(dir, "logs", "web.log"), service.LogOptions{Tail: -1, Follow: true}, func(_ time.Time, line []byte) error {
					if got = append(got, string(line)); len(got) == 2 {
						close(stuck)
						<-goOn
					}
					if string(line) == strconv.Itoa(n) {
						return over
					}
					return nil
				})
			}()
			until(t, "a first line", func() bool { return strings.HasPrefix(read(t, filepath.Join(dir, "logs", "web.log")), "0\n") })
			file(t, filepath.Join(dir, "go"), "")
			<-stuck
			wait(t, in)
			close(goOn)
			if err := <-ended; !errors.Is(err, over) {
				t.Fatal(err)
			}
			at, marks := -1, 0
			for _, line := range got {
				i, err := strconv.Atoi(line)
				switch {
				case strings.HasPrefix(line, "healbot: lines may be missing here"):
					marks++
				case err != nil, i <= at, i != at+1 && marks == 0:
					t.Fatalf("%q after %d", line, at)
				default:
					at = i
				}
			}
			if (marks > 0) != c.missed || !c.missed && len(got) != n+1 {
				t.Errorf("%d lines, %d marks", len(got), marks)
			}
		})
	}
}
