package compose

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A Project is what the Compose files declare, for the active profiles.
type Project struct {
	Name     string
	Dir      string                   // absolute project directory
	Files    []string                 // absolute, in the order in which they were merged
	Services []service.Service        // sorted by name
	Inactive []string                 // names of services that are in no active profile, sorted
	Policies map[string]policy.Policy // by the service's name
	Networks types.Networks           // declared networks, and the default one where a container uses it
	Volumes  types.Volumes            // all declared volumes
	Warnings []string                 // what a user should know, but need not change
	Debug    bool                     // DEBUG=1

	model *types.Project
}

// Config gives the merged project as "yaml" or "json", with the services that are named
// and what they need, or with all. Unless showSecrets is set, values of variables that
// look secret, and passwords in URLs, are masked. A dollar sign is written as two, so that
// what is given means the same as the files.
func (p *Project) Config(showSecrets bool, format string, names ...string) ([]byte, error) {
	m := p.model
	if len(names) > 0 {
		selected, err := m.WithSelectedServices(names)
		if err != nil {
			return nil, err
		}
		m = selected
	}
	if !showSecrets {
		masked, err := m.WithServicesTransform(func(_ string, s types.ServiceConfig) (types.ServiceConfig, error) {
			return maskService(s), nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot mask secrets: %w", err)
		}
		m = masked
		m.Configs = maskConfigs(m.Configs)
		if own := m.Extensions["x-healbot"]; own != nil {
			m.Extensions = with(m.Extensions, "x-healbot", maskNotices(own))
		}
	}
	marshal := m.MarshalYAML
	switch format {
	case "", "yaml":
	case "json":
		marshal = m.MarshalJSON
	default:
		return nil, fmt.Errorf("unknown format %q: use yaml or json", format)
	}
	text, err := marshal()
	return bytes.ReplaceAll(text, []byte("$"), []byte("$$")), err
}

// mask stands for a value that is not shown.
const mask = "********"

var (
	secretName = regexp.MustCompile(`(?i)(pass|passwd|password|pwd|secret|token|key|credentials?|auth|private|cert|salt|dsn|signature)(_|-|\d|$)`)
	secretURL  = regexp.MustCompile(`(://[^/@:\s]*:)[^/@\s]+@`)
)

func maskService(s types.ServiceConfig) types.ServiceConfig {
	s.Environment = maskValues(s.Environment)
	if s.Build != nil {
		b := *s.Build
		b.Args = maskValues(b.Args)
		s.Build = &b
	}
	if hc := s.HealthCheck; hc != nil && hc.Extensions["x-http"] != nil {
		c := *hc
		c.Extensions = maps.Clone(c.Extensions)
		c.Extensions["x-http"] = maskHeaders(c.Extensions["x-http"])
		s.HealthCheck = &c
	}
	if own := s.Extensions["x-healbot"]; own != nil {
		s.Extensions = with(s.Extensions, "x-healbot", maskNotices(own))
	}
	return s
}

// with gives a copy of m with another value for key.
func with[M ~map[string]any](m M, key string, value any) M {
	c := maps.Clone(m)
	c[key] = value
	return c
}

func maskValues(values types.MappingWithEquals) types.MappingWithEquals {
	masked := maps.Clone(values)
	for name, v := range masked {
		switch {
		case v == nil || *v == "":
		case secretName.MatchString(name):
			masked[name] = new(mask)
		default:
			masked[name] = new(secretURL.ReplaceAllString(*v, "${1}"+mask+"@"))
		}
	}
	return masked
}

// maskHeaders hides all headers of an x-http probe: they are there to carry tokens.
func maskHeaders(probe any) any {
	switch v := probe.(type) {
	case string:
		return secretURL.ReplaceAllString(v, "${1}"+mask+"@")
	case map[string]any:
		m := maps.Clone(v)
		if url, ok := m["url"].(string); ok {
			m["url"] = maskHeaders(url)
		}
		if headers, ok := m["headers"].(map[string]any); ok {
			hidden := map[string]any{}
			for name := range headers {
				hidden[name] = mask
			}
			m["headers"] = hidden
		}
		return m
	}
	return probe
}

// maskConfigs hides what configs take from the environment.
func maskConfigs(configs types.Configs) types.Configs {
	masked := maps.Clone(configs)
	for name, c := range masked {
		if c.Environment != "" && c.Content != "" {
			c.Content = mask
			masked[name] = c
		}
	}
	return masked
}
