package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/docker/api/types/versions"

	"github.com/healing-bot/healbot/service"
)

// containerConfig translates what a service says about the process in its container.
// api is the version that was negotiated with the engine.
func containerConfig(svc service.Service, replica int, api string) (*container.Config, error) {
	c := svc.Image.Config
	exposed, err := exposedPorts(c)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", svc.Name, err)
	}
	config := &container.Config{
		Image:        c.Image,
		Cmd:          strslice.StrSlice(c.Command),
		Entrypoint:   strslice.StrSlice(c.Entrypoint),
		Env:          environment(c.Environment),
		WorkingDir:   c.WorkingDir,
		User:         c.User,
		Hostname:     c.Hostname,
		Domainname:   c.DomainName,
		Labels:       containerLabels(svc, replica),
		Tty:          c.Tty,
		OpenStdin:    c.StdinOpen,
		AttachStdout: true,
		AttachStderr: true,
		StopSignal:   c.StopSignal,
		ExposedPorts: exposed,
		Healthcheck:  healthcheck(svc, api),
		MacAddress:   macAddress(svc), //nolint:staticcheck // engines before API 1.44 know no other
	}
	if c.StopGracePeriod != nil {
		seconds := int(time.Duration(*c.StopGracePeriod).Round(time.Second) / time.Second)
		config.StopTimeout = &seconds
	}
	return config, nil
}

// hostConfig translates what a service, which is resolved, says about its container's
// place on the host.
// The engine's own restart policy is always off: healbot restarts.
func hostConfig(svc service.Service, inherited []mount.Mount) (*container.HostConfig, error) {
	c := svc.Image.Config
	security, err := securityOptions(c.SecurityOpt, svc.Dir)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", svc.Name, err)
	}
	security = append(security, credentialSpec(c.CredentialSpec)...)
	host := &container.HostConfig{
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		PortBindings:   portBindings(c.Ports),
		NetworkMode:    container.NetworkMode(networkMode(svc)),
		CapAdd:         strslice.StrSlice(c.CapAdd),
		CapDrop:        strslice.StrSlice(c.CapDrop),
		CgroupnsMode:   container.CgroupnsMode(c.Cgroup),
		DNS:            c.DNS,
		DNSOptions:     c.DNSOpts,
		DNSSearch:      c.DNSSearch,
		ExtraHosts:     slices.Sorted(slices.Values(c.ExtraHosts.AsList(":"))),
		GroupAdd:       c.GroupAdd,
		IpcMode:        container.IpcMode(c.Ipc),
		OomScoreAdj:    int(c.OomScoreAdj),
		PidMode:        container.PidMode(c.Pid),
		Privileged:     c.Privileged,
		ReadonlyRootfs: c.ReadOnly,
		SecurityOpt:    security,
		StorageOpt:     c.StorageOpt,
		UTSMode:        container.UTSMode(c.Uts),
		UsernsMode:     container.UsernsMode(c.UserNSMode),
		VolumesFrom:    c.VolumesFrom,
		ShmSize:        int64(c.ShmSize),
		Sysctls:        c.Sysctls,
		Runtime:        c.Runtime,
		Isolation:      container.Isolation(c.Isolation),
		Annotations:    c.Annotations,
		Init:           c.Init,
		Resources:      resources(c),
	}
	if c.Logging != nil {
		host.LogConfig = container.LogConfig{Type: c.Logging.Driver, Config: c.Logging.Options}
	}
	if mode := host.NetworkMode; mode == network.NetworkBridge || mode == network.NetworkDefault {
		host.Links = c.ExternalLinks // elsewhere they are the endpoints'
	}
	return host, setVolumes(svc, host, inherited)
}

// networkMode gives the network that the container is created with: the one of highest
// priority. The others are joined afterwards, see create.
func networkMode(svc service.Service) string {
	if mode := svc.Image.Config.NetworkMode; mode != "" {
		return mode
	}
	if keys := svc.Image.Config.NetworksByPriority(); len(keys) > 0 {
		return svc.Image.Networks[keys[0]].Name
	}
	return ""
}

// environment gives the variables as the engine wants them; one without a value is
// taken out of the image's.
func environment(vars map[string]*string) []string {
	var env []string
	for k, v := range vars {
		if v == nil {
			env = append(env, k)
			continue
		}
		env = append(env, k+"="+*v)
	}
	slices.Sort(env)
	return env
}

// healthcheck gives the check that the engine runs; nil leaves the image's own. It is
// switched off when healbot probes the service itself.
func healthcheck(svc service.Service, api string) *container.HealthConfig {
	h := svc.Image.Config.HealthCheck
	if (h != nil && h.Disable) || (svc.Check != nil && !svc.Check.Engine) {
		return &container.HealthConfig{Test: []string{"NONE"}}
	}
	if h == nil {
		return nil
	}
	c := &container.HealthConfig{Test: h.Test}
	if h.Interval != nil {
		c.Interval = time.Duration(*h.Interval)
	}
	if h.Timeout != nil {
		c.Timeout = time.Duration(*h.Timeout)
	}
	if h.StartPeriod != nil {
		c.StartPeriod = time.Duration(*h.StartPeriod)
	}
	if h.StartInterval != nil && versions.GreaterThanOrEqualTo(api, startIntervalAPI) {
		c.StartInterval = time.Duration(*h.StartInterval)
	}
	if h.Retries != nil {
		c.Retries = int(*h.Retries)
	}
	return c
}

// credentialSpec gives what an engine on Windows takes a service account from; any other
// refuses it.
func credentialSpec(c *types.CredentialSpecConfig) []string {
	switch {
	case c == nil:
		return nil
	case c.File != "":
		return []string{"credentialspec=file://" + c.File}
	}
	return []string{"credentialspec=registry://" + c.Registry}
}

// securityOptions gives the options with seccomp profiles read from their files, which
// are relative to the project directory.
func securityOptions(options []string, dir string) ([]string, error) {
	var result []string
	for _, o := range options {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			k, v, ok = strings.Cut(o, ":")
		}
		if !ok || k != "seccomp" || v == "unconfined" || v == "builtin" {
			result = append(result, o)
			continue
		}
		if !filepath.IsAbs(v) {
			v = filepath.Join(dir, v)
		}
		profile, err := os.ReadFile(v)
		if err != nil {
			return nil, fmt.Errorf("security_opt: cannot read the seccomp profile: %w", err)
		}
		result = append(result, "seccomp="+string(profile))
	}
	return result, nil
}
