package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/service"
)

func TestJudge(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ended := func(code int, oom bool) *container.State {
		return &container.State{ExitCode: code, OOMKilled: oom, FinishedAt: at.Format(time.RFC3339Nano)}
	}
	for name, c := range map[string]struct {
		seen  evidence
		state *container.State
		want  service.Exit
	}{
		"clean":              {evidence{}, ended(0, false), service.Exit{At: at}},
		"code":               {evidence{}, ended(3, false), service.Exit{Code: 3, At: at}},
		"killed":             {evidence{signal: "SIGKILL"}, ended(137, false), service.Exit{Code: 137, Signal: "SIGKILL", At: at}},
		"killed unseen":      {evidence{}, ended(137, false), service.Exit{Code: 137, Reason: "SIGKILL", At: at}},
		"fault":              {evidence{}, ended(139, false), service.Exit{Code: 139, Reason: "SIGSEGV", At: at}},
		"memory":             {evidence{}, ended(137, true), service.Exit{Code: 137, OOM: true, At: at}},
		"memory by event":    {evidence{oom: true, died: at, code: 137}, nil, service.Exit{Code: 137, OOM: true, At: at}},
		"gone, end seen":     {evidence{died: at, code: 2}, nil, service.Exit{Code: 2, At: at}},
		"gone, end not seen": {evidence{}, nil, service.Exit{Code: -1, At: at}},
	} {
		if got := judge(c.seen, c.state, at); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if e := engineWent(judge(evidence{}, ended(0, false), at)); e.OK() || e.Code != -1 {
		t.Errorf("an engine's end counts as a clean exit: %+v", e)
	}
}

func TestSignalName(t *testing.T) {
	for in, want := range map[string]string{"9": "SIGKILL", "15": "SIGTERM", "TERM": "SIGTERM", "sigint": "SIGINT", "99": ""} {
		if got := signalName(in); got != want {
			t.Errorf("signal %s is %q, want %q", in, got, want)
		}
	}
}
