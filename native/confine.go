package native

import (
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// rlimits are the numbers of setrlimit(2), by Compose's names.
var rlimits = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// limit gives an instance its control group, and makes it begin with what its service
// asks for: user, groups and resource limits.
func (b *Backend) limit(spec *keeper.Spec, l service.Limits) error {
	if l.Umask != nil {
		spec.Umask = *l.Umask
	}
	who, err := identify(spec, l)
	if err != nil {
		return err
	}
	entry := keeper.Entry{OOMScore: l.OOMScore, Identity: who}
	for _, u := range l.Ulimits {
		entry.Limits = append(entry.Limits, keeper.Rlimit{Resource: rlimits[u.Name], Soft: amount(u.Soft), Hard: amount(u.Hard)})
	}
	if spec.Group, entry.Cgroups, err = b.confine(l, spec.Name); err != nil {
		return err
	}
	if len(entry.Cgroups) == 0 && entry.OOMScore == nil && len(entry.Limits) == 0 && entry.Identity == nil {
		return nil
	}
	if err := spec.Enter(b.argv, entry); err != nil {
		return fmt.Errorf("cannot prepare its start: %w", err)
	}
	return nil
}

// identify finds who a service is to be, nil for healbot's own user, and puts into the
// environment what speaks of that.
func identify(spec *keeper.Spec, l service.Limits) (*keeper.Identity, error) {
	who, err := accountOf(l)
	if err != nil || who == nil {
		return nil, err
	}
	for _, kv := range who.variables() {
		name, _, _ := strings.Cut(kv, "=")
		if variable(spec.Env, name) == "" {
			spec.Env = append(spec.Env, kv)
		}
	}
	return &who.Identity, nil
}

func amount(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64 // no limit
	}
	return uint64(n)
}
