package compose

import (
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// provided is the provider type that makes a service native.
const provided = "healbot"

// providerOptions are what provider.options may hold. file is for docker compose,
// when it hands its services over; healbot itself has no use for it.
var providerOptions = []string{"python", "venv", "requirements", "file"}

// kind decides in which world a service lives. It is "" if the file contradicts
// itself, which is reported.
func (c *converter) kind(path []string, s types.ServiceConfig) service.Kind {
	made := "image"
	if s.Build != nil {
		made = "build"
	}
	at := append(path[:len(path):len(path)], "provider")
	switch {
	case s.Provider == nil && s.Image == "" && s.Build == nil:
		if !c.blames(s.Name) {
			c.at(path, "write image: or build: for a container, provider: {type: healbot} for a process on this host", "neither a container nor a native service")
		}
	case s.Provider == nil:
		return service.Container
	case s.Image != "" || s.Build != nil:
		c.at(at, "remove one of them", "provider and %s can't be used together", made)
	case s.Provider.Type != provided:
		c.at(append(at, "type"), "write provider: {type: healbot}", "healbot is the only provider there is, not %s", c.src.text(append(at, "type")))
	default:
		return service.Native
	}
	return ""
}

// python reads provider.options; nil if the service asks for no Python environment.
func (c *converter) python(path []string, p *types.ServiceProviderConfig) *service.Python {
	at := append(path[:len(path):len(path)], "provider", "options")
	one := func(key string) string {
		values := p.Options[key]
		if len(values) > 1 {
			c.at(append(at, key), "", "%s must be a single value", key)
		}
		return strings.Join(values, ",")
	}
	for _, key := range sortedKeys(p.Options) {
		if !slices.Contains(providerOptions, key) && key != consts.Extensions {
			c.at(append(at, key), "", "%s is not an option of the provider %s%s", key, provided, suggestion(key, providerOptions))
		}
	}
	py := &service.Python{Version: one("python"), Venv: one("venv")}
	one("file")
	if py.Version != "" && !versions.MatchString(py.Version) {
		c.at(append(at, "python"), `write it like ">=3.8" or ">=3.10,<3.13"`, "python is not a version constraint")
	}
	for _, file := range p.Options["requirements"] {
		py.Requirements = append(py.Requirements, absolute(c.dir, file))
	}
	if len(py.Requirements) > 0 && py.Venv == "" {
		c.at(append(at, "requirements"), "add venv: .venv, so that nothing is installed outside the project", "requirements needs venv")
	}
	if py.Venv != "" {
		py.Venv = absolute(c.dir, py.Venv)
	}
	if py.Version == "" && py.Venv == "" && len(py.Requirements) == 0 {
		return nil
	}
	return py
}

var versions = regexp.MustCompile(`^\s*(>=|<=|==|!=|~=|>|<)?\s*\d+(\.\d+)*(\.\*)?\s*(,\s*(>=|<=|==|!=|~=|>|<)?\s*\d+(\.\d+)*(\.\*)?\s*)*$`)
