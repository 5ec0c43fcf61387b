package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// BenchmarkMemory gives the proportional set size of supervisor and keeper, in MB, with
// services that do nothing.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var file strings.Builder
			file.WriteString("services:\n")
			for i := range n {
				fmt.Fprintf(&file, "  s%d: {provider: {type: healbot}, command: [sleep, '10000']}\n", i)
			}
			dir := up(b, file.String())
			found := pids(dir)
			for b.Loop() {
				for who, pid := range found {
					b.ReportMetric(pss(b, pid), who+"-MB")
				}
			}
			if len(found) != 2 {
				b.Fatalf("processes: %v", found)
			}
		})
	}
}

func pss(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "Pss:")
	var kb float64
	_, _ = fmt.Sscan(rest, &kb)
	return kb / 1024
}
