package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// BenchmarkHeal is the time from kill -9 to the first act of the next instance: of a
// loop that starts a process when the last one has ended, and of healbot with a delay
// of nothing.
func BenchmarkHeal(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("loop", func(b *testing.B) {
		dir := b.TempDir()
		fifos(b, dir, "beat")
		fifo := filepath.Join(dir, "beat")
		start := func() *exec.Cmd {
			cmd := exec.Command(self, "beat", fifo)
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			hear(b, fifo)
			return cmd
		}
		cmd := start()
		for b.Loop() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			cmd = start()
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	b.Run("healbot", func(b *testing.B) {
		at := b.TempDir()
		fifos(b, at, "beat")
		fifo := filepath.Join(at, "beat")
		up(b, `
services:
  web:
    provider: {type: healbot}
    command: [`+self+`, beat, `+fifo+`]
    deploy: {restart_policy: {condition: any, delay: 0s}}
`)
		for b.Loop() {
			pid, err := strconv.Atoi(hear(b, fifo))
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
