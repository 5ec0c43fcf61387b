package main

import (
	"strings"
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
)

// TestSimulate checks where a rhythm ends under a policy.
func TestSimulate(t *testing.T) {
	limit := policy.Policy{
		Condition: policy.Always, Delay: 5 * time.Second, Factor: 2, MaxDelay: time.Minute, MaxAttempts: 5,
		Window: 5 * time.Minute, Interval: 10 * time.Second, Timeout: 3 * time.Second, Retries: 3, Grace: 10 * time.Second,
	}
	with := func(change func(*policy.Policy)) policy.Policy {
		p := limit
		change(&p)
		return p
	}
	own := with(func(p *policy.Policy) { p.Probe = policy.OwnProbe })
	engine := with(func(p *policy.Policy) { p.Probe = policy.EngineProbe })
	once := with(func(p *policy.Policy) { p.Condition = policy.OnFailure })
	never := with(func(p *policy.Policy) { p.Condition = policy.Never })
	nolimit := with(func(p *policy.Policy) { p.MaxAttempts = 0 })
	again := with(func(p *policy.Policy) { p.RetryAfter = 10 * time.Minute })
	patient := with(func(p *policy.Policy) { p.MaxAttempts = 5000 })
	for _, c := range []struct {
		p            policy.Policy
		rhythm, want string
	}{
		{limit, "crash after 3s", "ends: max_restarts after 2m33s and 5 restarts"}, // 6·3s + 5+10+20+40+60
		{limit, "exit 0 after 1m", "ends: max_restarts after 8m15s and 5 restarts"},
		{limit, "crash after 5m", "never trips: it runs for a whole window"},
		{limit, "crash after 4m59s", "ends: max_restarts"},
		{limit, "crash after 3s, crash after 6m", "never trips: it runs for a whole window"},
		{limit, "crash after 3s, then ok after 2 tries", "ends: running from 21s on, after 2 restarts"},
		{limit, "hang after 3s", "never trips: it hangs from 3s on and nobody looks"},
		{own, "hang after 30s", "ends: max_restarts after"},
		{engine, "hang after 30s", "ends: max_restarts after"},
		{engine, "hang after 1s", "ends: max_restarts after"},
		{own, "hang after 6m", "never trips: it runs for a whole window"},
		{once, "exit 0 after 1m", "ends: completed after 1m00s and 0 restarts"},
		{once, "exit 3 after 1s", "ends: max_restarts"},
		{never, "crash after 1s", "ends: failed after 1s and 0 restarts"},
		{nolimit, "crash after 3s", "never trips: there is no max_attempts; goes on for ever, 137"},
		{again, "crash after 3s", "trips 11"},
		{patient, "crash after 3s", "undecided after 1d0h: restart 13"},
	} {
		r, err := parseRhythm(c.rhythm)
		if err != nil {
			t.Fatal(err)
		}
		log := &playLog{play: &play{policy: c.p, rhythm: r, now: time.Unix(0, 0)}}
		log.began, log.saw = log.now, log.note
		log.tell(policy.Up{})
		got := log.outcome(log.until(log.began.Add(24*time.Hour)), 24*time.Hour)
		if got = got[strings.LastIndexByte(got, '\n')+1:]; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s under %s: %q, want %q", c.rhythm, policyWords(c.p), got, c.want)
		}
	}
}

func TestRhythmsThatCanNotBeRead(t *testing.T) {
	for _, text := range []string{
		"", "crash", "crash after", "crash after 3", "crash after -3s", "crash after 0s", "exit after 3s", "exit 256 after 3s",
		"hang", "then ok after 3 tries", "crash after 3s, then ok", "crash after 3s, then ok after 0 tries",
		"crash after 3s, then ok after 1 try, crash after 3s", "crash after 3s,", "crash after 99999999999999999999h",
	} {
		if r, err := parseRhythm(text); err == nil {
			t.Errorf("%q was read as %+v", text, r)
		}
	}
}
