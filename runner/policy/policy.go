package policy

import (
	"math"
	"time"
)

// A Condition says after which ends an instance is started again.
type Condition uint8

// The conditions of Compose's deploy.restart_policy, in that order none,
// on-failure, any. Compose's restart: always and unless-stopped are both Always:
// what a user stopped stays stopped in either.
const (
	Never Condition = iota
	OnFailure
	Always
)

// String gives Compose's word.
func (c Condition) String() string {
	return [...]string{"none", "on-failure", "any"}[c]
}

// A ProbeKind says where verdicts on an instance's health come from.
type ProbeKind uint8

// The kinds of probe.
const (
	NoProbe     ProbeKind = iota // up is running
	OwnProbe                     // asked for by Action Probe, answered by Probed
	EngineProbe                  // come by themselves as Judged: the engine checks
	LineProbe                    // come as Judged once a line is heard; silence has an end
)

// A Policy is what Decide needs to know of a service. The zero Policy never
// restarts and has no health check.
type Policy struct {
	Name string // seeds the jitter and the spread of probes

	Condition   Condition
	Delay       time.Duration // before the first restart of a streak
	Factor      float64       // by which each further delay grows; at least 1
	MaxDelay    time.Duration // no delay is longer, jitter included
	Jitter      float64       // largest part of a delay added or taken away, 0 to 1
	MaxAttempts int           // counted restarts in a streak; 0 for no limit
	Window      time.Duration // running this long ends a streak; 0: nothing does
	RetryAfter  time.Duration // time at max_restarts before a new streak; 0: for good
	Grace       time.Duration // between Terminate and Kill
	Dependent   bool          // has required dependencies, so that its limit is judged when a restart is due

	Probe           ProbeKind
	Interval        time.Duration // between two probes
	Timeout         time.Duration // of one probe
	Retries         int           // failed probes in a row that make it unhealthy; at least 1
	StartPeriod     time.Duration // in which an instance never yet healthy may fail probes
	StartInterval   time.Duration // longest time between two probes in StartPeriod
	IgnoreUnhealthy bool          // unhealthy is shown, not healed
}

// KillPatience is how long an instance may outlive SIGKILL before it is called
// unkillable (a process in an uninterruptible system call does).
const KillPatience = 5 * time.Second

// longest bounds every delay, so that growth never overflows a time.Duration.
const longest = 365 * 24 * time.Hour

// firstTry is the delay before a failed start is tried again where Delay is none, so
// that what is out of order outside is not asked without a pause.
const firstTry = time.Second

// delay is the time before restart number k of a streak, k counting from 1.
func (p *Policy) delay(k, run int) time.Duration { return p.grown(p.Delay, k, run) }

// retry is the time before try number k of a start that fails for a reason outside.
func (p *Policy) retry(k, run int) time.Duration {
	if p.Delay <= 0 {
		return p.grown(firstTry, k, run)
	}
	return p.grown(p.Delay, k, run)
}

// grown is the k-th of the delays that begin with first. Its jitter follows from the
// name and the run, so that a run can be repeated.
func (p *Policy) grown(first time.Duration, k, run int) time.Duration {
	if first <= 0 {
		return 0
	}
	d := min(float64(first)*math.Pow(max(p.Factor, 1), float64(k-1)), p.limit())
	d *= 1 + p.Jitter*(2*spread(p.Name, run)-1)
	return time.Duration(min(d, p.limit()))
}

func (p *Policy) limit() float64 {
	if p.MaxDelay <= 0 {
		return float64(longest)
	}
	return float64(min(p.MaxDelay, longest))
}

// usedUp reports whether a streak of n restarts may not grow.
func (p *Policy) usedUp(n int) bool { return p.MaxAttempts > 0 && n >= p.MaxAttempts }

// spread gives a number in [0, 1) that differs between names and runs (FNV-1a).
func spread(name string, run int) float64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	for ; run > 0; run >>= 8 {
		h = (h ^ uint64(run&0xff)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd // spreads the low bits of short names over all of h
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}
