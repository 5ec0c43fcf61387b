package brief

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// leftover is how long output may take that is still in the pipe at the end.
const leftover = time.Second

// Run runs c, which has a context, to its end and gives the last line that it wrote. What
// it started outlives neither it nor the context.
func Run(c *exec.Cmd) (said string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Cancel = func() error { return killGroup(c.Process.Pid) }
	c.WaitDelay = time.Second
	err = c.Start()
	w.Close()
	if err != nil {
		return "", err
	}
	var last Last
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&last, r)
	}()
	err = c.Wait()
	_ = killGroup(c.Process.Pid) // what it left behind would hold the pipe open
	_ = r.SetReadDeadline(time.Now().Add(leftover))
	<-read
	return last.String(), err
}

func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
