package main

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	section  = regexp.MustCompile(`^\[([^\]]+)\]`)
	fromHost = regexp.MustCompile(`%\(ENV_(\w+)\)s`)
	pair     = regexp.MustCompile(`([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,]*))`)
)

// supervisord reads the programs of a supervisord.conf. What it says of supervisord
// itself is of no interest.
func (d *draft) supervisord(text string) error {
	var s *sketch
	own := false // the section is about supervisord itself
	for n, line := range unfolded(text) {
		m := section.FindStringSubmatch(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "":
		case m != nil:
			s, own = nil, false
			kind, name, _ := strings.Cut(m[1], ":")
			switch kind {
			case "program":
				s = d.add(n+1, name)
				d.retries(s, "autorestart", "unexpected") // supervisord's own default
			case "supervisord", "supervisorctl", "unix_http_server", "inet_http_server", "rpcinterface":
				own = true
			default:
				own = true
				d.warn(n+1, "[%s] has no counterpart here", m[1])
			}
		case own:
		case !ok || s == nil:
			d.warn(n+1, "this line can't be read")
		default:
			d.setting(n+1, s, strings.TrimSpace(key), d.expanded(n+1, s, strings.TrimSpace(value)))
		}
	}
	for _, s := range d.services {
		if s.Command == nil {
			d.warn(1, "%s has no command", s.Name)
		}
	}
	return nil
}

// unfolded gives the lines without comments; one that is indented goes on with the one
// above it.
func unfolded(text string) []string {
	lines := strings.Split(text, "\n")
	last := 0
	for i, raw := range lines {
		line, _, _ := strings.Cut(raw, " ;")
		lines[i] = strings.TrimSpace(line)
		switch {
		case lines[i] == "" || lines[i][0] == ';' || lines[i][0] == '#':
			lines[i] = ""
		case strings.ContainsRune(" \t", rune(raw[0])) && lines[last] != "" && lines[last][0] != '[':
			lines[last] += " " + lines[i]
			lines[i] = ""
		default:
			last = i
		}
	}
	return lines
}

// expanded puts in what supervisord would, where Compose can do the same.
func (d *draft) expanded(line int, s *sketch, value string) string {
	value = strings.ReplaceAll(literal(value), "%(here)s", ".")
	value = strings.ReplaceAll(value, "%(program_name)s", s.Name)
	value = fromHost.ReplaceAllString(value, "$${$1}")
	if strings.Contains(value, "%(") {
		d.warn(line, "%s: %s has expressions that have no counterpart here", s.Name, value)
	}
	return strings.ReplaceAll(value, "%%", "%")
}

func (d *draft) setting(line int, s *sketch, key, value string) {
	switch key {
	case "command":
		s.Command = value // supervisord uses no shell either
		if strings.ContainsAny(value, "&|;<>") {
			s.Command = []string{"sh", "-c", value}
			d.warn(line, "%s: supervisord knows no shell, but the command has signs of one; it gets one here", s.Name)
		}
	case "directory":
		s.WorkingDir = value
	case "environment":
		for _, m := range pair.FindAllStringSubmatch(value, -1) {
			s.Environment[m[1]] = strings.TrimSpace(m[2] + m[3] + m[4])
		}
	case "user":
		s.User = value
	case "autostart":
		if value == "false" {
			s.Profiles = []string{"manual"}
		}
	case "autorestart", "startretries":
		d.retries(s, key, value)
	case "numprocs":
		if n, err := strconv.Atoi(value); err == nil && n > 1 {
			s.Scale = n
		}
	case "stopsignal":
		s.StopSignal = "SIG" + strings.TrimPrefix(value, "SIG")
	case "stopwaitsecs":
		s.StopGrace = value + "s"
	case "redirect_stderr", "process_name", "stopasgroup", "killasgroup": // so it is here, always
	case "stdout_logfile", "stderr_logfile":
		d.warn(line, "%s: %s is left out; its log will be logs/%s.log", s.Name, key, s.Name)
	default:
		d.warn(line, "%s: %s has no counterpart here", s.Name, key)
	}
}

func (d *draft) retries(s *sketch, key, value string) {
	if s.Deploy == nil {
		s.Deploy = map[string]any{"restart_policy": map[string]any{}}
	}
	policy := s.Deploy["restart_policy"].(map[string]any)
	if key == "startretries" {
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			policy["max_attempts"] = n
		}
		return
	}
	policy["condition"] = map[string]string{"true": "any", "false": "none"}[value]
	if policy["condition"] == "" {
		policy["condition"] = "on-failure" // unexpected
	}
}
