package compose

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// image says how a container is made. The numbers of a check that the engine runs
// are the merged ones; a check that healbot runs is no business of the engine's. An
// image that is built here and has no name gets Compose's.
func (c *converter) image(path []string, s types.ServiceConfig, check *service.Check, h health) *service.Image {
	if s.Image == "" {
		s.Image = c.model.Name + "-" + s.Name
	}
	if s.HealthCheck != nil && check != nil {
		s.HealthCheck = engineCheck(s.HealthCheck, check, h)
	}
	s.CustomLabels = c.composeLabels(s)
	img := &service.Image{Config: s, Networks: types.Networks{}, Volumes: types.Volumes{}, Secrets: types.Secrets{}, Configs: types.Configs{}}
	for i, ref := range s.Secrets {
		img.Secrets[ref.Source] = types.SecretConfig(c.object(path, "secrets", i, ref.Source, types.FileObjectConfig(c.model.Secrets[ref.Source])))
	}
	for i, ref := range s.Configs {
		img.Configs[ref.Source] = types.ConfigObjConfig(c.object(path, "configs", i, ref.Source, types.FileObjectConfig(c.model.Configs[ref.Source])))
	}
	if s.Build != nil {
		c.build(path, s, img)
	}
	img.Watch = c.containerTriggers(path, s)
	for name := range s.Networks {
		if n, ok := c.model.Networks[name]; ok {
			img.Networks[name] = n
		} else {
			c.at(append(path, "networks"), "declare it under networks: at the top level", "network %s is not declared", name)
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeVolume || v.Source == "" {
			continue
		}
		if vol, ok := c.model.Volumes[v.Source]; ok {
			img.Volumes[v.Source] = vol
		} else {
			c.at(append(path, "volumes"), "declare it under volumes: at the top level", "volume %s is not declared", v.Source)
		}
	}
	for key, mode := range map[string]string{"network_mode": s.NetworkMode, "pid": s.Pid, "ipc": s.Ipc} {
		other, ok := strings.CutPrefix(mode, types.ServicePrefix)
		if ok && c.model.Services[other].Provider != nil {
			c.at(append(path, key), "write "+key+": host", "%s is a native service and has no namespace of its own to share", other)
		}
	}
	return img
}

// build looks up what the build section refers to.
func (c *converter) build(path []string, s types.ServiceConfig, img *service.Image) {
	at := append(path[:len(path):len(path)], "build")
	img.BuildSecrets = types.Secrets{}
	for i, ref := range s.Build.Secrets {
		img.BuildSecrets[ref.Source] = types.SecretConfig(c.object(at, "secrets", i, ref.Source, types.FileObjectConfig(c.model.Secrets[ref.Source])))
	}
	at = append(at, "additional_contexts")
	for _, name := range sortedKeys(s.Build.AdditionalContexts) {
		other, ok := strings.CutPrefix(s.Build.AdditionalContexts[name], types.ServicePrefix)
		if !ok {
			continue
		}
		base, known := c.model.Services[other]
		switch {
		case !known:
			c.at(append(at, name), "declare it, or enable its profile", "there is no service %s to build from", other)
		case base.Provider != nil:
			c.at(append(at, name), "write the image of a container, as docker-image://NAME", "%s is a native service and has no image", other)
		case c.buildsFrom(other, s.Name, map[string]bool{}):
			c.at(append(at, name), "", "the image of %s is made from that of %s itself", other, s.Name)
		}
	}
}

// buildsFrom reports whether the image of one service is made from that of another, or
// is the same.
func (c *converter) buildsFrom(name, base string, seen map[string]bool) bool {
	if name == base {
		return true
	}
	s := c.model.Services[name]
	if seen[name] || s.Build == nil {
		return false
	}
	seen[name] = true
	for _, from := range s.Build.AdditionalContexts {
		if other, ok := strings.CutPrefix(from, types.ServicePrefix); ok && c.buildsFrom(other, base, seen) {
			return true
		}
	}
	return false
}

// composeLabels gives the labels by which docker compose ls knows the files, and down and
// stop the order in which containers end. Native services are none of its containers.
func (c *converter) composeLabels(s types.ServiceConfig) types.Labels {
	var needs []string
	for _, name := range sortedKeys(s.DependsOn) {
		if n := s.DependsOn[name]; c.model.Services[name].Provider == nil {
			needs = append(needs, fmt.Sprintf("%s:%s:%t", name, n.Condition, n.Restart))
		}
	}
	return types.Labels{
		"com.docker.compose.project.config_files": strings.Join(c.paths, ","),
		"com.docker.compose.depends_on":           strings.Join(needs, ","),
	}
}

// object gives what a secret or config of a container is, its content included.
func (c *converter) object(path []string, kind string, i int, name string, def types.FileObjectConfig) types.FileObjectConfig {
	defined := []string{kind, name}
	switch {
	case def.Name == "":
		if !c.blames(path[1]) {
			c.at(append(path[:len(path):len(path)], kind, strconv.Itoa(i)), "declare it under "+kind+": at the end of the file", "%s is not among the project's %s", name, kind)
		}
	case bool(def.External):
		c.at(append(defined, "external"), "write file:, environment: or content:", "an external one can't be had without an orchestrator")
	case def.File != "":
		def.File = absolute(c.dir, def.File)
	case def.Environment != "":
		if def.Content == "" {
			def.Content = c.environ[def.Environment]
		}
		if def.Content == "" {
			c.at(append(defined, "environment"), "set it, or write it into .env", "the variable %s is not set", def.Environment)
		}
	}
	return def
}

func engineCheck(hc *types.HealthCheckConfig, check *service.Check, h health) *types.HealthCheckConfig {
	if !check.Engine {
		return nil
	}
	merged := *hc
	merged.Extensions = nil
	if h.interval != nil {
		merged.Interval = new(types.Duration(*h.interval))
	}
	if h.timeout != nil {
		merged.Timeout = new(types.Duration(*h.timeout))
	}
	if h.startPeriod != nil {
		merged.StartPeriod = new(types.Duration(*h.startPeriod))
	}
	if h.startInterval != nil {
		merged.StartInterval = new(types.Duration(*h.startInterval))
	}
	if h.retries != nil {
		merged.Retries = new(uint64(max(*h.retries, 0)))
	}
	return &merged
}
