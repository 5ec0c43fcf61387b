package compose

import (
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
	img := &service.Image{Config: s, Networks: types.Networks{}, Volumes: types.Volumes{}}
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
