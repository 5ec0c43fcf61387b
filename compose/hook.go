package compose

import (
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// hooks reads post_start or pre_stop of a native service, whose process is p, or of a
// container.
func (c *converter) hooks(path []string, key string, hooks []types.ServiceHook, p *service.Process) (all []service.Hook) {
	for i, h := range hooks {
		at := append(path[:len(path):len(path)], key, strconv.Itoa(i))
		if len(h.Command) == 0 || h.Command[0] == "" {
			c.at(at, "write command: with what is to be run", "the hook has no command")
		}
		switch {
		case p == nil:
			all = append(all, containerHook(h))
			continue
		case h.User != "" || h.Privileged:
			c.at(at, "remove it", "a hook of a native service runs with the rights of healbot: user and privileged can't be honoured")
		}
		all = append(all, c.nativeHook(h, p))
	}
	return all
}

// nativeHook has the environment of its service, and its directory unless it says
// otherwise.
func (c *converter) nativeHook(h types.ServiceHook, p *service.Process) service.Hook {
	hook := service.Hook{Argv: slices.Clone([]string(h.Command)), Dir: p.Dir, Env: slices.Clone(p.Env)}
	if h.WorkingDir != "" {
		hook.Dir = absolute(c.dir, h.WorkingDir)
	}
	for _, name := range sortedKeys(h.Environment) {
		if v := h.Environment[name]; v != nil && validName(name) {
			hook.Env = slices.DeleteFunc(hook.Env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
			hook.Env = append(hook.Env, name+"="+*v)
		}
	}
	slices.Sort(hook.Env)
	return hook
}

func containerHook(h types.ServiceHook) service.Hook {
	hook := service.Hook{Argv: h.Command, Dir: h.WorkingDir, User: h.User, Privileged: h.Privileged}
	for _, name := range sortedKeys(h.Environment) {
		if v := h.Environment[name]; v != nil {
			hook.Env = append(hook.Env, name+"="+*v)
		}
	}
	return hook
}
