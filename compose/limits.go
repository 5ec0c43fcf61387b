package compose

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// ulimits are the resource limits that Linux has.
var ulimits = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
	"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// limits reads who a native service is and how much it may use.
func (c *converter) limits(path []string, s types.ServiceConfig, own extension) service.Limits {
	l := service.Limits{User: s.User, Groups: slices.Clone(s.GroupAdd), Umask: own.umask}
	user, group, colon := strings.Cut(s.User, ":")
	if s.User != "" && (user == "" || colon && group == "" || strings.ContainsAny(s.User, "/\x00\n")) {
		c.at(append(path, "user"), `write name, "uid" or "uid:gid"`, "user is neither a name nor a number")
	}
	if c.src.written(append(path, "oom_score_adj")) {
		l.OOMScore = new(int(s.OomScoreAdj))
		if s.OomScoreAdj < -1000 || s.OomScoreAdj > 1000 {
			c.at(append(path, "oom_score_adj"), "", "oom_score_adj must lie between -1000 and 1000")
		}
	}
	for _, name := range sortedKeys(s.Ulimits) {
		at := append(path[:len(path):len(path)], "ulimits", name)
		l.Ulimits = append(l.Ulimits, c.ulimit(at, name, s.Ulimits[name]))
	}
	c.shares(path, s, &l)
	return l
}

func (c *converter) ulimit(path []string, name string, u *types.UlimitsConfig) service.Ulimit {
	low := strings.TrimPrefix(strings.ToLower(name), "rlimit_")
	if !slices.Contains(ulimits, low) {
		c.at(path, "", "there is no limit %s%s", name, suggestion(low, ulimits))
	}
	out := service.Ulimit{Name: low, Soft: int64(u.Soft), Hard: int64(u.Hard)}
	if u.Single != 0 {
		out.Soft, out.Hard = int64(u.Single), int64(u.Single)
	}
	switch {
	case out.Soft < -1 || out.Hard < -1:
		c.at(path, "", "%s must not be negative; -1 stands for no limit", name)
	case out.Hard != -1 && (out.Soft == -1 || out.Soft > out.Hard):
		c.at(path, "write {soft: …, hard: …}, the soft one not above the hard one", "the soft limit of %s is above the hard one", name)
	}
	return out
}

// shares reads the limits that stand in two places. compose-go has seen to it that the
// two agree.
func (c *converter) shares(path []string, s types.ServiceConfig, l *service.Limits) {
	deploy := append(path[:len(path):len(path)], "deploy", "resources", "limits")
	var d types.Resource
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		d = *s.Deploy.Resources.Limits
	}
	cpus := s.CPUS
	where := append(path[:len(path):len(path)], "cpus")
	if d.NanoCPUs != 0 {
		cpus, where = d.NanoCPUs.Value(), append(deploy, "cpus")
	}
	// The library reads 0.1 as a float32; people wrote decimals.
	l.CPUs, _ = strconv.ParseFloat(strconv.FormatFloat(float64(cpus), 'g', -1, 32), 64)
	if l.CPUs < 0 || l.CPUs != 0 && l.CPUs < 0.01 || math.IsNaN(l.CPUs) || l.CPUs > 4096 {
		c.at(where, "", "cpus must be a number of processors, 0.01 or more")
	}
	l.Memory, where = int64(s.MemLimit), append(path[:len(path):len(path)], "mem_limit")
	if d.MemoryBytes != 0 {
		l.Memory, where = int64(d.MemoryBytes), append(deploy, "memory")
	}
	if l.Memory < 0 || l.Memory != 0 && l.Memory < 1<<20 {
		c.at(where, "write a size with its unit, as 64m", "a memory limit must be at least 1m")
	}
	l.PIDs, where = s.PidsLimit, append(path[:len(path):len(path)], "pids_limit")
	if d.Pids != 0 {
		l.PIDs, where = d.Pids, append(deploy, "pids")
	}
	if l.PIDs < -1 {
		c.at(where, "", "a limit of processes must not be negative; -1 stands for no limit")
	}
	l.PIDs = max(l.PIDs, 0)
}
