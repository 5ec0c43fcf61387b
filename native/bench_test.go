package native

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/healing-bot/healbot/service"
)

// BenchmarkStart is one start and the notice of its end.
func BenchmarkStart(b *testing.B) {
	each(b, func(dir string) service.Service { return testService(dir, "true") })
}

// BenchmarkOutput is 64 MiB of output into a log, with rotation.
func BenchmarkOutput(b *testing.B) {
	b.SetBytes(64 << 20)
	each(b, func(dir string) service.Service {
		return sh(dir, "yes healing-bot-says-hello-to-the-log | head -c 67108864")
	})
}

func each(b *testing.B, svc func(dir string) service.Service) {
	dir := b.TempDir()
	exe, _ := os.Executable()
	back := New(dir, []string{exe, "keeper"})
	defer func() { _ = back.Remove(context.Background(), "test"); back.Close() }()
	s := svc(dir)
	for b.Loop() {
		in, err := back.Start(context.Background(), s, 1, 1)
		if err != nil {
			b.Fatal(err)
		}
		if e, err := in.Wait(context.Background()); err != nil || e.Code != 0 {
			b.Fatal(e, err)
		}
	}
	b.ReportMetric(memory(dir), "keeper-MB")
}

// memory gives the keeper's resident memory in MB.
func memory(dir string) float64 {
	pid := findKeeper(dir)
	s, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(s), "VmRSS:")
	var kb float64
	_, _ = fmt.Sscan(rest, &kb)
	return kb / 1024
}
