package compose

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"github.com/healing-bot/healbot/service"
)

// usualPath is the search path of a service that inherits none.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process says how a native service is run.
func (c *converter) process(path []string, s types.ServiceConfig, own extension) *service.Process {
	p := &service.Process{
		Argv:   append(slices.Clone([]string(s.Entrypoint)), s.Command...),
		Entry:  len(s.Entrypoint),
		Dir:    absolute(c.dir, s.WorkingDir),
		Python: c.python(path, s.Provider),
		Log:    c.log(path, s.Logging),
	}
	if (len(p.Argv) == 0 || p.Argv[0] == "") && !c.blames(s.Name) {
		c.at(path, "write command: with what is to be run", "there is no command")
	}
	for _, arg := range p.Argv {
		if strings.ContainsRune(arg, 0) {
			c.at(append(path, "command"), "", "command holds a NUL character")
		}
	}
	p.Env = c.environment(path, s, p.Python, or(own.inherit, c.common.inherit))
	p.Limits = c.limits(path, s, own)
	p.Files = c.files(path, s)
	p.TTY, p.StdinOpen = s.Tty, s.StdinOpen
	p.Watch = c.triggers(path, s.Develop)
	return p
}

// environment puts together what a native service gets: what it inherits, then what
// its Python environment needs, then what the file declares.
func (c *converter) environment(path []string, s types.ServiceConfig, py *service.Python, inherit *inheritance) []string {
	env := map[string]string{}
	switch {
	case inherit == nil || inherit.all:
		maps.Copy(env, c.environ)
	default:
		for _, name := range inherit.names {
			if v, ok := c.environ[name]; ok {
				env[name] = v
			}
		}
	}
	if s.User != "" { // they would speak of somebody else; see native
		for _, name := range []string{"HOME", "USER", "LOGNAME", "SHELL", "MAIL"} {
			delete(env, name)
		}
	}
	if env["PATH"] == "" {
		env["PATH"] = usualPath
	}
	if py != nil {
		env["PYTHONUNBUFFERED"] = "1"
	}
	if py != nil && py.Venv != "" {
		env["VIRTUAL_ENV"] = py.Venv
		env["PATH"] = filepath.Join(py.Venv, "bin") + ":" + env["PATH"]
		delete(env, "PYTHONHOME")
	}
	for _, name := range sortedKeys(s.Environment) {
		value := s.Environment[name]
		switch {
		case !validName(name):
			c.at(append(path, "environment"), "", "%q can't be the name of a variable", name)
		case value == nil:
		case strings.ContainsRune(*value, 0):
			c.at(append(path, "environment", name), "", "%s holds a NUL character", name)
		default:
			env[name] = *value
		}
	}
	list := make([]string, 0, len(env))
	for _, name := range sortedKeys(env) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// log reads logging: 10m and 3 files unless the file says otherwise.
func (c *converter) log(path []string, l *types.LoggingConfig) service.Log {
	out := service.Log{MaxSize: 10 << 20, MaxFiles: 3}
	if l == nil {
		return out
	}
	at := append(path[:len(path):len(path)], "logging")
	switch l.Driver {
	case "", "json-file", "local":
	case "none":
		out.None = true
	default:
		c.at(append(at, "driver"), "remove it, or write none to keep no log", "driver %s is for containers; a native service's log is a file", c.src.text(append(at, "driver")))
	}
	at = append(at, "options")
	if v, ok := l.Options["max-size"]; ok {
		n, err := units.RAMInBytes(v)
		if err != nil || n < 1 {
			c.at(append(at, "max-size"), "write a number with its unit, as 512k or 10m", "max-size is not a size")
		} else {
			out.MaxSize = n
		}
	}
	if v, ok := l.Options["max-file"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			c.at(append(at, "max-file"), "", "max-file must be a whole number, 1 or more")
		} else {
			out.MaxFiles = n
		}
	}
	return out
}
