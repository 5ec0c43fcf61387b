package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"

	"github.com/healing-bot/healbot/service"
)

// resolve gives svc with each container that it names by its service, in network_mode,
// pid, ipc, volumes_from and links, named by its id or name instead. The containers of
// the project are meant, whoever made them. Links end up among the external ones.
//
// A service that has no container yet is a reason outside the project.
func (b *Backend) resolve(ctx context.Context, svc service.Service) (service.Service, error) {
	image := *svc.Image
	c := &image.Config
	for _, mode := range []*string{&c.NetworkMode, &c.Pid, &c.Ipc} {
		name, ok := strings.CutPrefix(*mode, types.ServicePrefix)
		if !ok {
			continue
		}
		found, err := b.containersOf(ctx, svc, name)
		if err != nil {
			return svc, err
		}
		*mode = types.ContainerPrefix + found[0].ID
	}
	c.VolumesFrom = slices.Clone(c.VolumesFrom)
	for n, from := range c.VolumesFrom {
		if named, ok := strings.CutPrefix(from, types.ContainerPrefix); ok {
			c.VolumesFrom[n] = named
			continue
		}
		name, mode, _ := strings.Cut(from, ":")
		found, err := b.containersOf(ctx, svc, name)
		if err != nil {
			return svc, err
		}
		c.VolumesFrom[n] = strings.TrimSuffix(found[0].ID+":"+mode, ":")
	}
	if err := b.shareSocket(ctx, &image); err != nil {
		return svc, err
	}
	links, err := b.resolveLinks(ctx, svc)
	if err != nil {
		return svc, err
	}
	c.Links, c.ExternalLinks = nil, links
	svc.Image = &image
	return svc, nil
}

// resolveLinks gives the links of svc as CONTAINER:ALIAS. Each container of a service
// goes by the same names as with docker compose.
func (b *Backend) resolveLinks(ctx context.Context, svc service.Service) ([]string, error) {
	links := slices.Clone(svc.Image.Config.ExternalLinks)
	for n, link := range links {
		if !strings.Contains(link, ":") {
			links[n] = link + ":" + link
		}
	}
	for _, link := range svc.Image.Config.Links {
		name, alias, ok := strings.Cut(link, ":")
		if !ok {
			alias = name
		}
		found, err := b.containersOf(ctx, svc, name)
		if err != nil {
			return nil, err
		}
		for _, other := range found {
			called, numbered := strings.TrimPrefix(other.Names[0], "/"), name+"-"+other.Labels[composeNumber]
			links = append(links, called+":"+alias, called+":"+numbered, called+":"+svc.Project+"-"+numbered)
		}
	}
	return links, nil
}

// containersOf gives the containers of another service of the project, those that run
// first; at least one.
func (b *Backend) containersOf(ctx context.Context, svc service.Service, name string) ([]container.Summary, error) {
	found, err := b.list(ctx, composeProject+"="+svc.Project, composeService+"="+name, composeOneOff+"=False")
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(c container.Summary) bool {
		return c.State == container.StateDead || c.State == container.StateRemoving || len(c.Names) == 0
	})
	slices.SortStableFunc(found, func(a, b container.Summary) int {
		return rank(a) - rank(b)
	})
	if len(found) == 0 {
		return nil, service.Outside(fmt.Errorf("service %s is bound to a container of %s, which has none yet", svc.Name, name))
	}
	return found, nil
}

func rank(c container.Summary) int {
	if alive(c) {
		return 0
	}
	return 1
}

// bound reports whether the container id still shares what svc, which is resolved, says:
// a container that was replaced has another id.
func (b *Backend) bound(ctx context.Context, svc service.Service, id string) (bool, error) {
	c := svc.Image.Config
	shares := slices.Clone(c.VolumesFrom)
	for _, mode := range []string{c.NetworkMode, c.Pid, c.Ipc} {
		if strings.HasPrefix(mode, types.ContainerPrefix) {
			shares = append(shares, mode)
		}
	}
	if len(shares) == 0 {
		return true, nil
	}
	now, err := b.inspect(ctx, id)
	if err != nil {
		return false, err
	}
	h := now.HostConfig
	has := append(slices.Clone(h.VolumesFrom), string(h.NetworkMode), string(h.PidMode), string(h.IpcMode))
	return !slices.ContainsFunc(shares, func(s string) bool { return !slices.Contains(has, s) }), nil
}

// checkVolumes refuses what an engine is too old for.
func checkVolumes(svc service.Service, api string) error {
	for _, v := range svc.Image.Config.Volumes {
		switch {
		case v.Volume != nil && v.Volume.Subpath != "" && versions.LessThan(api, "1.45"):
			return fmt.Errorf("service %s: volume %s: subpath needs Docker Engine 26 or later", svc.Name, v.Target)
		case v.Bind != nil && (v.Bind.Recursive == "writable" || v.Bind.Recursive == "readonly") && versions.LessThan(api, "1.44"):
			return fmt.Errorf("service %s: volume %s: recursive: %s needs Docker Engine 25 or later", svc.Name, v.Target, v.Bind.Recursive)
		case v.Type == types.VolumeTypeImage && versions.LessThan(api, "1.48"):
			return fmt.Errorf("service %s: volume %s: type image needs Docker Engine 28 or later", svc.Name, v.Target)
		}
	}
	return nil
}
