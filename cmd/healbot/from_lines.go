package main

import (
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// serviceLine is one SERVICES[name]="…" of a start script, or [name]="…" between the
// parentheses of its declaration.
var serviceLine = regexp.MustCompile(`^\s*(?:SERVICES)?\[["']?([^\]"']+)["']?\]=(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?$`)

// script reads the services of a start script: six fields, of which the last may be
// left out.
func (d *draft) script(text string) error {
	d.defaults = true
	declaring := false
	for n, line := range strings.Split(text, "\n") {
		n++
		trimmed := strings.TrimSpace(line)
		m := serviceLine.FindStringSubmatch(line)
		switch {
		case m != nil && (declaring || strings.HasPrefix(trimmed, "SERVICES")):
			d.scriptService(n, m[1], m[2]+m[3])
		case strings.HasPrefix(trimmed, "SERVICES["):
			d.warn(n, "this line can't be read: a service is written SERVICES[name]=\"title|directory|script|port|variables|health URL\" in one line")
		}
		if strings.Contains(trimmed, "SERVICES=(") {
			declaring = true
		} else if declaring && strings.HasPrefix(trimmed, ")") {
			declaring = false
		}
	}
	return nil
}

func (d *draft) scriptService(line int, name, fields string) {
	f := strings.Split(fields, "|")
	for len(f) < 6 {
		f = append(f, "")
	}
	if len(f) > 6 {
		d.warn(line, "%s has %d fields; those after the sixth are left out", name, len(f))
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	title, dir, program, port, variables, health := f[0], f[1], f[2], f[3], f[4], f[5]
	if program == "" {
		d.warn(line, "%s names no script and is left out", name)
		return
	}
	s := d.add(line, name)
	if title != "" && title != s.Name {
		s.Own = map[string]any{"title": title}
	}
	if dir = path.Clean("./" + strings.TrimSpace(dir)); dir != "." {
		s.WorkingDir = dir
	}
	s.Command = d.program(s, program)
	for _, kv := range strings.Fields(strings.ReplaceAll(variables, ",", " ")) {
		key, value, ok := strings.Cut(strings.Trim(kv, `'"`), "=")
		if !ok || key == "" {
			d.warn(line, "%s: %q is no variable", name, kv)
			continue
		}
		s.Environment[key] = strings.Trim(value, `'"`)
	}
	d.listen(line, s, port)
	d.probe(line, s, port, health)
	if strings.Contains(fields, "$") {
		d.warn(line, "%s uses variables of the script; set them in .env", name)
	}
}

// program gives the command for a script, by what kind of file it is.
func (d *draft) program(s *sketch, script string) string {
	file, _, _ := strings.Cut(script, " ")
	switch path.Ext(file) {
	case ".py":
		d.pythons(s)
		return "python3 " + script
	case ".js", ".mjs":
		return "node " + script
	case ".sh":
		return "sh " + script
	}
	if strings.Contains(file, "/") || strings.Contains(script, " ") {
		return script
	}
	return "./" + script
}

func (d *draft) listen(line int, s *sketch, port string) {
	n, err := strconv.Atoi(port)
	switch {
	case port == "" || port == "-":
	case strings.Contains(port, "$"):
		s.Ports = []string{port + ":" + port}
	case err != nil || n < 1 || n > 65535:
		d.warn(line, "%s: %q is no port", s.Name, port)
	default:
		s.Ports = []string{port + ":" + port}
	}
}

// probe takes the health URL, or else makes sure that something listens.
func (d *draft) probe(line int, s *sketch, port, health string) {
	u, err := url.Parse(health)
	switch {
	case health == "" || health == "-":
		if len(s.Ports) > 0 {
			s.Health = map[string]any{"x-tcp": "localhost:" + port}
		}
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", strings.Contains(health, "$"):
		s.Health = map[string]any{"x-http": health}
	default:
		d.warn(line, "%s: %q is no http address; nothing checks its health", s.Name, health)
	}
}

// procfileLine is one process of a Procfile.
var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*:\s*(\S.*)$`)

// procfile reads a Procfile. The variables of the .env file beside it are Compose's
// concern already.
func (d *draft) procfile(text string) error {
	d.defaults = true
	for n, line := range strings.Split(text, "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := procfileLine.FindStringSubmatch(line)
		if m == nil {
			d.warn(n, "this line can't be read: a process is written name: command")
			continue
		}
		s := d.add(n, m[1])
		s.Command = commandLine(m[2])
		if strings.HasPrefix(m[2], "python") {
			d.pythons(s)
		}
		if strings.Contains(m[2], "$PORT") || strings.Contains(m[2], "${PORT") {
			d.warn(n, "%s uses PORT, which a Procfile's runner hands out; give it one in environment and ports", s.Name)
		}
	}
	return nil
}
