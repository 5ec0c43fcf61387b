package compose

import (
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// triggers reads develop.watch of a native service. There is nothing to copy, since the
// service sees the files themselves: sync+restart is restart.
func (c *converter) triggers(path []string, d *types.DevelopConfig) (all []service.Trigger) {
	if d == nil {
		return nil
	}
	for i, t := range d.Watch {
		at := append(path[:len(path):len(path)], "develop", "watch", strconv.Itoa(i))
		switch t.Action {
		case types.WatchActionRestart, types.WatchActionSyncRestart, types.WatchActionRebuild:
			all = append(all, service.Trigger{
				Path: absolute(c.dir, t.Path), Ignore: t.Ignore, Include: t.Include,
				Rebuild: t.Action == types.WatchActionRebuild,
			})
		case types.WatchActionSync:
			c.at(append(at, "action"), "write restart, or remove the entry", "sync has nothing to copy: a native service sees the host's files")
		default:
			c.at(append(at, "action"), "write restart, sync+restart or rebuild", "%s is not an action for a native service", t.Action)
		}
	}
	return all
}

// containerTriggers reads develop.watch of a container.
func (c *converter) containerTriggers(path []string, s types.ServiceConfig) (all []service.Trigger) {
	if s.Develop == nil {
		return nil
	}
	for i, t := range s.Develop.Watch {
		at := append(path[:len(path):len(path)], "develop", "watch", strconv.Itoa(i))
		trigger := service.Trigger{
			Path: absolute(c.dir, t.Path), Ignore: t.Ignore, Include: t.Include, Initial: t.InitialSync,
			Rebuild: t.Action == types.WatchActionRebuild,
			Restart: t.Action == types.WatchActionRestart || t.Action == types.WatchActionSyncRestart,
		}
		syncs := t.Action == types.WatchActionSync || t.Action == types.WatchActionSyncRestart || t.Action == types.WatchActionSyncExec
		if syncs {
			trigger.Target = t.Target
		}
		if t.Action == types.WatchActionSyncExec {
			hook := containerHook(t.Exec)
			trigger.Exec = &hook
		}
		switch {
		case !syncs && !trigger.Rebuild && !trigger.Restart:
			c.at(append(at, "action"), "write sync, sync+restart, sync+exec, restart or rebuild", "%s is not an action", t.Action)
		case syncs && !strings.HasPrefix(t.Target, "/"):
			c.at(append(at, "target"), "write the path in the container, from / on", "%s needs a target that is an absolute path", t.Action)
		case trigger.Rebuild && s.Build == nil:
			c.at(append(at, "action"), "write a build section, or another action", "there is nothing to rebuild: %s has no build section", s.Name)
		case trigger.Exec != nil && len(trigger.Exec.Argv) == 0:
			c.at(append(at, "exec"), "write command: with what is to be run", "sync+exec needs a command")
		default:
			all = append(all, trigger)
		}
	}
	return all
}
