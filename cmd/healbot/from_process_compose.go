package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A mapping is a YAML mapping with the places of its keys.
type mapping struct{ node *yaml.Node }

// each calls take for every key; what take does not know becomes a warning.
func (m mapping) each(d *draft, where string, take func(key string, value *yaml.Node) bool) {
	if m.node == nil || m.node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(m.node.Content); i += 2 {
		key, value := m.node.Content[i], m.node.Content[i+1]
		if !take(key.Value, value) {
			d.warn(key.Line, "%s%s has no counterpart here", where, key.Value)
		}
	}
}

func (d *draft) processCompose(text string) error {
	var file yaml.Node
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return err
	}
	if len(file.Content) == 0 || file.Content[0].Kind != yaml.MappingNode {
		return errors.New("it is no mapping")
	}
	common := map[string]string{}
	mapping{file.Content[0]}.each(d, "", func(key string, v *yaml.Node) bool {
		switch key {
		case "version", "log_level", "log_location":
		case "environment":
			d.variables(v, common)
		case "processes":
			mapping{v}.each(d, "", func(name string, v *yaml.Node) bool {
				d.process(name, v)
				return true
			})
		default:
			return false
		}
		return true
	})
	for _, s := range d.services {
		for k, v := range common {
			if _, own := s.Environment[k]; !own {
				s.Environment[k] = v
			}
		}
	}
	return nil
}

// variables reads a list of KEY=VALUE.
func (d *draft) variables(list *yaml.Node, into map[string]string) {
	for _, item := range list.Content {
		key, value, ok := strings.Cut(item.Value, "=")
		if !ok || key == "" {
			d.warn(item.Line, "%q is no variable", item.Value)
			continue
		}
		into[key] = value
	}
}

func (d *draft) process(name string, v *yaml.Node) {
	s := d.add(v.Line, name)
	mapping{v}.each(d, s.Name+": ", func(key string, v *yaml.Node) bool {
		switch key {
		case "command":
			s.Command = commandLine(v.Value)
		case "working_dir":
			s.WorkingDir = v.Value
		case "environment":
			d.variables(v, s.Environment)
		case "depends_on":
			d.dependencies(s, v)
		case "readiness_probe", "liveness_probe":
			if s.Health != nil {
				d.warn(v.Line, "%s: one health check is enough; %s is left out", s.Name, key)
				return true
			}
			d.processProbe(s, v)
		case "availability":
			d.availability(s, v)
		case "shutdown":
			d.shutdown(s, v)
		case "replicas":
			s.Scale, _ = strconv.Atoi(v.Value)
		case "disabled":
			if v.Value == "true" {
				s.Profiles = []string{"disabled"}
			}
		case "description", "namespace":
		default:
			return false
		}
		return true
	})
	if s.Command == nil {
		d.warn(v.Line, "%s has no command", s.Name)
	}
}

var processConditions = map[string]string{
	"process_started": "service_started", "process_healthy": "service_healthy",
	"process_completed_successfully": "service_completed_successfully",
}

func (d *draft) dependencies(s *sketch, v *yaml.Node) {
	s.DependsOn = map[string]needed{}
	mapping{v}.each(d, "", func(name string, v *yaml.Node) bool {
		condition := "service_started"
		mapping{v}.each(d, s.Name+": depends_on ", func(key string, v *yaml.Node) bool {
			known := ""
			if key == "condition" {
				known = processConditions[v.Value]
			}
			if known != "" {
				condition = known
			} else if key == "condition" {
				d.warn(v.Line, "%s: the condition %s has no counterpart; it waits until %s has started", s.Name, v.Value, name)
			}
			return key == "condition"
		})
		s.DependsOn[name] = needed{condition}
		return true
	})
}

func (d *draft) processProbe(s *sketch, v *yaml.Node) {
	s.Health = map[string]any{}
	times := map[string]string{"period_seconds": "interval", "timeout_seconds": "timeout", "initial_delay_seconds": "start_period"}
	mapping{v}.each(d, s.Name+": ", func(key string, v *yaml.Node) bool {
		switch {
		case key == "http_get":
			s.Health["x-http"] = address(v)
		case key == "exec":
			for i := 0; i+1 < len(v.Content); i += 2 {
				if v.Content[i].Value == "command" {
					s.Health["test"] = []string{"CMD-SHELL", literal(v.Content[i+1].Value)}
				}
			}
		case key == "failure_threshold":
			s.Health["retries"], _ = strconv.Atoi(v.Value)
		case key == "success_threshold" && v.Value == "1":
		case times[key] != "":
			s.Health[times[key]] = v.Value + "s"
		default:
			return false
		}
		return true
	})
}

// address puts the parts of http_get together.
func address(v *yaml.Node) string {
	part := map[string]string{"scheme": "http", "host": "localhost", "path": "/"}
	for i := 0; i+1 < len(v.Content); i += 2 {
		part[v.Content[i].Value] = v.Content[i+1].Value
	}
	host := part["host"]
	if part["port"] != "" {
		host += ":" + part["port"]
	}
	return fmt.Sprintf("%s://%s/%s", part["scheme"], host, strings.TrimPrefix(part["path"], "/"))
}

func (d *draft) availability(s *sketch, v *yaml.Node) {
	policy := map[string]any{}
	mapping{v}.each(d, s.Name+": ", func(key string, v *yaml.Node) bool {
		switch key {
		case "restart":
			switch v.Value {
			case "always":
				policy["condition"] = "any"
			case "on_failure":
				policy["condition"] = "on-failure"
			case "no", "exit_on_failure":
				policy["condition"] = "none"
			}
			return v.Value != "exit_on_failure" && policy["condition"] != nil
		case "backoff_seconds":
			policy["delay"] = v.Value + "s"
		case "max_restarts":
			if n, err := strconv.Atoi(v.Value); err == nil && n > 0 {
				policy["max_attempts"] = n
			}
		default:
			return false
		}
		return true
	})
	if len(policy) > 0 {
		s.Deploy = map[string]any{"restart_policy": policy}
	}
}

func (d *draft) shutdown(s *sketch, v *yaml.Node) {
	mapping{v}.each(d, s.Name+": ", func(key string, v *yaml.Node) bool {
		switch key {
		case "signal":
			s.StopSignal = v.Value
		case "timeout_seconds":
			s.StopGrace = v.Value + "s"
		default:
			return false
		}
		return true
	})
}
