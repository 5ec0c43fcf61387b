package compose

import (
	"strconv"

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
