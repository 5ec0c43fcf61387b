package healtest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/runner"
)

// output: the lines of an instance are its own alone, those from before the question
// included, and they go on coming.
func (s *suite) output(t *testing.T) {
	svc := s.make(t, "speaker", "lines", "2")
	wait(t, s.start(t, svc, 1, 1))
	again := s.start(t, svc, 1, 2)
	wait(t, again)
	if diff := cmp.Diff("line 1,line 2", hear(t, again, 0)); diff != "" {
		t.Errorf("the second run said (-want +got):\n%s", diff)
	}
	svc = s.make(t, "speaker", "lines", "3", "sleep")
	svc.Hash += "-changed"
	third := s.start(t, svc, 1, 3)
	for range 2 { // asked again, it says it all again
		if diff := cmp.Diff("line 1,line 2,line 3", hear(t, third, 3)); diff != "" {
			t.Errorf("the third run said (-want +got):\n%s", diff)
		}
	}
}

func (s *suite) outputAdopted(t *testing.T) {
	wait(t, s.start(t, s.make(t, "witness", "lines", "5"), 1, 1))
	svc := s.make(t, "witness", "lines", "2", "sleep")
	svc.Hash += "-changed"
	s.start(t, svc, 1, 2)
	if diff := cmp.Diff("line 1,line 2", hear(t, s.adopt(t, s.again(t), svc), 2)); diff != "" {
		t.Errorf("it said (-want +got):\n%s", diff)
	}
}

// hear waits for n lines, or for the end of the instance; Output ends then.
func hear(t *testing.T, i runner.Instance, n int) string {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var lines []string
	err := i.Output(ctx, func(line []byte) {
		if lines = append(lines, string(line)); len(lines) == n {
			cancel()
		}
	})
	if err != nil {
		t.Errorf("Output: %v", err)
	}
	return strings.Join(lines, ",")
}
