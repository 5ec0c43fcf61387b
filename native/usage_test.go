package native

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The figures are of the whole tree: a child, a session of its own, and an orphan that
// the keeper took over.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, `sleep 1000 & setsid sleep 1001 & (setsid sh -c 'exec 5</dev/null; echo orphan $$; exec sleep 1002' &); exec sleep 1003`))
	orphan := pidAfter(t, dir, "orphan ")
	root := in.About().PID
	keeper := keeperPID(t, dir)
	until(t, "the keeper has the orphan", func() bool { return tasks()[orphan].ppid == keeper })
	until(t, "four processes", func() bool { return Usage([]int{root})[root].Processes == 4 })
	f := Usage([]int{root, 1 << 30, orphan})
	if _, there := f[1<<30]; there || len(f) != 2 {
		t.Errorf("figures of what is not there: %v", f)
	}
	all := Usage([]int{root})[root]
	if all.Threads != 4 || all.Memory < 4*200<<10 || all.Files < 4*4+1 {
		t.Errorf("figures: %+v", all)
	}
	if other := Usage([]int{os.Getpid()})[os.Getpid()]; other.Processes == 0 || other.Memory == 0 || other.Threads < 2 {
		t.Errorf("own figures: %+v", other)
	}
}

// Processor time counts children that have ended.
func TestUsageOfProcessorTime(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo done; exec sleep 1000`))
	logOf(t, dir, "done")
	f := Usage([]int{in.About().PID})[in.About().PID]
	if f.CPUTime < 20*time.Millisecond || f.CPU <= 0 || f.CPU > 150 {
		t.Errorf("figures: %+v", f)
	}
}

func BenchmarkUsage(b *testing.B) {
	for _, n := range []int{7, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var pids []int
			for range n {
				cmd := exec.Command("sleep", "1000")
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
				pids = append(pids, cmd.Process.Pid)
			}
			for b.Loop() {
				if len(Usage(pids)) != n {
					b.Fatal("some are missing")
				}
			}
		})
	}
}
