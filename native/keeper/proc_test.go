package keeper

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/healtest"
)

// B7: two processes had one pid within one tick of the clock, and are told apart all the same.
func TestTwoWithinATick(t *testing.T) {
	begin := func() (*exec.Cmd, Unit) {
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := readProc(c.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		u := Unit{PID: p.pid, Ticks: p.ticks}
		f, inode, err := u.leader()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		u.Inode = inode
		return c, u
	}
	end := func(c *exec.Cmd) { _ = c.Process.Kill(); _ = c.Wait() }
	for range 2000 {
		first, was := begin()
		end(first)
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(was.PID-1)), 0); err != nil {
			healtest.Lacks(t, "%v", err)
		}
		second, is := begin()
		if is.PID != was.PID || is.Ticks != was.Ticks {
			end(second)
			continue
		}
		defer end(second)
		if is.Inode == was.Inode {
			healtest.Lacks(t, "the pidfds of two processes have one inode: Linux before 6.9")
		}
		p, _ := readProc(is.PID)
		if _, _, err := was.leader(); !errors.Is(err, unix.ESRCH) || was.led(p) {
			t.Errorf("taken for the one before: %v", err)
		}
		if _, _, err := is.leader(); err != nil || !is.led(p) {
			t.Errorf("not taken for itself: %v", err)
		}
		return
	}
	healtest.Lacks(t, "no pid was taken twice within a tick")
}
