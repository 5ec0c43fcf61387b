package compose

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// inspect checks the merged model of compose-go for what would be lost later on:
// attributes that nothing honours, keys beginning with x- where the file chooses
// the keys, the tail of a command, and fractions.
func (r *report) inspect(dict map[string]any, o Options, profiles []string) {
	services, _ := dict["services"].(map[string]any)
	known := newAllowlist(o.Supported)
	if known != nil {
		known = newAllowlist(slices.Concat(o.Supported, o.Ineffective))
	}
	for _, path := range o.Ineffective {
		r.ineffective(nil, strings.Split(strings.ReplaceAll(path, ".[]", ""), "."), dict)
	}
	for _, name := range sortedKeys(services) {
		svc, ok := services[name].(map[string]any)
		if !ok || !active(svc, profiles) {
			continue
		}
		path := []string{"services", name}
		_, native := svc["provider"]
		r.fractions(path, svc)
		r.command(path, svc, native)
		if native {
			natives.walk(path, svc, func(path []string) { r.notNative(path) })
		} else {
			known.walk(path, svc, func(path []string) { r.notContainer(path) })
		}
	}
	for _, key := range sortedKeys(dict) {
		switch {
		case strings.HasPrefix(key, "x-") || slices.Contains([]string{"services", "name", "include", "version"}, key):
		case known != nil && (key == "secrets" || key == "configs"):
			nativeFiles.walk([]string{key}, dict[key], func(path []string) { r.notContainer(path) })
		default:
			known.walk([]string{key}, dict[key], func(path []string) { r.notContainer(path) })
		}
	}
	if dict["jobs"] != nil && known == nil {
		r.notContainer([]string{"jobs"})
	}
	for _, path := range chosenKeys {
		r.lostKeys(nil, strings.Split(path, "."), dict)
	}
}

// ineffective warns of an attribute that does nothing, wherever it stands.
func (r *report) ineffective(path, rest []string, v any) {
	m, ok := v.(map[string]any)
	if !ok || m["provider"] != nil {
		return
	}
	for _, key := range sortedKeys(m) {
		if rest[0] != "*" && rest[0] != key || strings.HasPrefix(key, "x-") {
			continue
		}
		at := append(slices.Clone(path), key)
		if len(rest) > 1 {
			r.ineffective(at, rest[1:], m[key])
			continue
		}
		where := report{src: r.src}
		where.at(at, "", "%s is for Swarm and does nothing on one engine", strings.Join(at[2:], "."))
		r.warn("%s", where.problems[0].Error())
	}
}

// active reports whether the service's profiles are among the active ones.
func active(svc map[string]any, profiles []string) bool {
	own, _ := svc["profiles"].([]any)
	return len(own) == 0 || slices.Contains(profiles, "*") ||
		slices.ContainsFunc(own, func(p any) bool { return slices.Contains(profiles, fmt.Sprint(p)) })
}

// chosenKeys are the mappings whose keys the file chooses. compose-go takes a key
// that begins with x- for an extension there, and loses it.
var chosenKeys = []string{
	"services.*.annotations", "services.*.build.args", "services.*.build.labels", "services.*.deploy.labels",
	"services.*.environment", "services.*.extra_hosts", "services.*.labels", "services.*.logging.options",
	"services.*.models", "services.*.networks", "services.*.provider.options", "services.*.storage_opt",
	"services.*.sysctls", "services.*.ulimits",
	"networks.*.driver_opts", "networks.*.labels", "volumes.*.driver_opts", "volumes.*.labels",
}

// asList are those of them that can be written as a list.
var asList = []string{"annotations", "args", "environment", "extra_hosts", "labels", "sysctls"}

func (r *report) lostKeys(path, rest []string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	if len(rest) > 0 {
		for _, key := range sortedKeys(m) {
			if rest[0] == "*" || rest[0] == key {
				r.lostKeys(append(slices.Clone(path), key), rest[1:], m[key])
			}
		}
		return
	}
	for _, key := range sortedKeys(m) {
		if !strings.HasPrefix(key, "x-") {
			continue
		}
		hint := "choose another name"
		if slices.Contains(asList, last(path)) {
			hint = fmt.Sprintf(`write %s as a list: ["%s=…"]`, last(path), key)
		}
		r.at(append(slices.Clone(path), key), hint, "%s would get lost: Compose takes a key that begins with x- for an extension", key)
	}
}

// command refuses a command or entrypoint in one string that only a shell would
// understand: compose-go cuts it at the first sign without a word.
func (r *report) command(path []string, svc map[string]any, native bool) {
	for _, key := range []string{"entrypoint", "command"} {
		line, ok := svc[key].(string)
		if !ok {
			continue
		}
		sign := shellSign(line, native)
		switch {
		case sign == "":
		case native:
			r.at(append(slices.Clone(path), key), `write ["sh", "-c", "…"]`, "%s is not run by a shell, so %s has no meaning in it", key, sign)
		default:
			r.warn(`%s: %s is cut at %s, as docker compose does; write ["sh", "-c", "…"]`, path[1], key, sign)
		}
	}
}

// shellSign gives the first sign outside quotes at which compose-go cuts a command,
// or, if all is set, that only a shell understands.
func shellSign(line string, all bool) string {
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.HasPrefix(line[i:], "&&"), strings.HasPrefix(line[i:], "||"), all && strings.HasPrefix(line[i:], "$("):
			return line[i : i+2]
		case strings.IndexByte(";&|<>", c) >= 0, all && c == '`':
			return string(c)
		}
	}
	return ""
}

// counts are whole numbers that compose-go rounds down without a word.
var counts = []string{"scale", "deploy.replicas", "healthcheck.retries", "deploy.restart_policy.max_attempts", "oom_score_adj", "pids_limit", "deploy.resources.limits.pids"}

func (r *report) fractions(path []string, svc map[string]any) {
	for _, count := range counts {
		var v any = svc
		at := slices.Clone(path)
		for _, key := range strings.Split(count, ".") {
			m, _ := v.(map[string]any)
			v, at = m[key], append(at, key)
		}
		if n, ok := number(v); ok && n != math.Trunc(n) {
			r.at(at, "", "%s must be a whole number", last(at))
		}
	}
}

// number reads an int, a float, or a string that holds one.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil
	}
	return 0, false
}
