package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// unnamed matches the names that the engine gives to volumes without one.
var unnamed = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ensureVolumes makes the named volumes of svc that are missing.
func (b *Backend) ensureVolumes(ctx context.Context, svc service.Service) error {
	for _, v := range svc.Image.Config.Volumes {
		if v.Type != types.VolumeTypeVolume || v.Source == "" {
			continue
		}
		declared, ok := svc.Image.Volumes[v.Source]
		if !ok {
			return fmt.Errorf("service %s: volume %s is not declared", svc.Name, v.Source)
		}
		if err := b.ensureVolume(ctx, svc.Project, v.Source, declared); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) ensureVolume(ctx context.Context, project, key string, v types.VolumeConfig) error {
	_, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (volume.Volume, error) {
		return cli.VolumeInspect(ctx, v.Name)
	})
	if !errdefs.IsNotFound(err) {
		return err
	}
	if v.External {
		return service.Outside(fmt.Errorf("volume %s is declared external and does not exist; create it with: docker volume create %s", v.Name, v.Name))
	}
	labels := make(map[string]string)
	maps.Copy(labels, v.Labels)
	maps.Copy(labels, v.CustomLabels)
	maps.Copy(labels, map[string]string{composeProject: project, composeVolume: key, labelProject: project})
	_, err = ask(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) (volume.Volume, error) {
		return cli.VolumeCreate(ctx, volume.CreateOptions{
			Name: v.Name, Driver: v.Driver, DriverOpts: v.DriverOpts, Labels: labels,
		})
	})
	if err != nil && !isOutside(err) {
		return fmt.Errorf("cannot create volume %s: %w", v.Name, err)
	}
	return err
}

// RemoveVolumes removes the named volumes that healbot made for project, and says which.
func (b *Backend) RemoveVolumes(ctx context.Context, project string) (removed []string, err error) {
	found, err := b.Volumes(ctx, project)
	for _, name := range found {
		gone := tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
			return cli.VolumeRemove(ctx, name, false)
		})
		if gone != nil && !errdefs.IsNotFound(gone) {
			err = errors.Join(err, fmt.Errorf("cannot remove volume %s: %s", name, plain(gone)))
			continue
		}
		removed = append(removed, "volume "+name)
	}
	return removed, err
}

// Volumes gives the names of the named volumes that healbot made for project.
func (b *Backend) Volumes(ctx context.Context, project string) (names []string, err error) {
	found, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (volume.ListResponse, error) {
		return cli.VolumeList(ctx, volume.ListOptions{Filters: labelled(labelProject + "=" + project)})
	})
	for _, v := range found.Volumes {
		names = append(names, v.Name)
	}
	return names, err
}

// setVolumes translates the volumes of svc. inherited are the unnamed volumes of the
// container that this one replaces: their data goes along, as with docker compose.
func setVolumes(svc service.Service, host *container.HostConfig, inherited []mount.Mount) error {
	taken := make(map[string]bool)
	for _, v := range svc.Image.Config.Volumes {
		taken[filepath.Clean(v.Target)] = v.Type != types.VolumeTypeVolume || v.Source != ""
		if bind, ok := asBind(v); ok {
			host.Binds = append(host.Binds, bind)
			continue
		}
		m, err := asMount(svc, v)
		if err != nil {
			return err
		}
		if old := inheritedAt(inherited, v.Target); old != "" && m.Type == mount.TypeVolume && m.Source == "" {
			m.Source = old
			taken[filepath.Clean(v.Target)] = true
		}
		host.Mounts = append(host.Mounts, m)
	}
	files, err := filesOf(svc)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.source != "" {
			host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: f.source, Target: f.target, ReadOnly: true})
			taken[filepath.Clean(f.target)] = true
		}
	}
	for _, m := range inherited {
		if !taken[filepath.Clean(m.Target)] {
			host.Mounts = append(host.Mounts, m)
		}
	}
	for _, t := range svc.Image.Config.Tmpfs {
		if host.Tmpfs == nil {
			host.Tmpfs = make(map[string]string)
		}
		path, options, _ := strings.Cut(t, ":")
		host.Tmpfs[path] = options
	}
	return nil
}

// asBind gives a bind mount in the engine's short form, the only one that makes a
// missing folder of the host with every engine.
func asBind(v types.ServiceVolumeConfig) (string, bool) {
	if v.Type != types.VolumeTypeBind || (v.Bind != nil && (!bool(v.Bind.CreateHostPath) || v.Bind.Recursive != "")) {
		return "", false
	}
	options := []string{"rw"}
	if v.ReadOnly {
		options[0] = "ro"
	}
	if v.Bind != nil {
		for _, o := range []string{v.Bind.SELinux, v.Bind.Propagation} {
			if o != "" {
				options = append(options, o)
			}
		}
	}
	if v.Consistency != "" {
		options = append(options, v.Consistency)
	}
	return v.Source + ":" + v.Target + ":" + strings.Join(options, ","), true
}

func asMount(svc service.Service, v types.ServiceVolumeConfig) (mount.Mount, error) {
	m := mount.Mount{Type: mount.Type(v.Type), Target: v.Target, ReadOnly: v.ReadOnly, Consistency: mount.Consistency(v.Consistency)}
	switch v.Type {
	case types.VolumeTypeBind:
		if v.Bind.SELinux != "" {
			return m, fmt.Errorf("service %s: volume %s: selinux needs create_host_path, and can't go with recursive", svc.Name, v.Target)
		}
		m.Source = v.Source
		m.BindOptions = &mount.BindOptions{
			Propagation:            mount.Propagation(v.Bind.Propagation),
			CreateMountpoint:       bool(v.Bind.CreateHostPath),
			NonRecursive:           v.Bind.Recursive == "disabled",
			ReadOnlyNonRecursive:   v.Bind.Recursive == "writable",
			ReadOnlyForceRecursive: v.Bind.Recursive == "readonly",
		}
	case types.VolumeTypeVolume:
		if v.Source != "" {
			m.Source = svc.Image.Volumes[v.Source].Name
		}
		if v.Volume != nil {
			m.VolumeOptions = &mount.VolumeOptions{NoCopy: v.Volume.NoCopy, Labels: v.Volume.Labels, Subpath: v.Volume.Subpath}
		}
	case types.VolumeTypeTmpfs:
		if v.Tmpfs != nil {
			m.TmpfsOptions = tmpfsOptions(*v.Tmpfs)
		}
	case types.VolumeTypeImage:
		m.Source = v.Source
		if v.Image != nil {
			m.ImageOptions = &mount.ImageOptions{Subpath: v.Image.SubPath}
		}
	default:
		return m, fmt.Errorf("service %s: volume %s: type %s is not supported; use bind, volume, tmpfs or image", svc.Name, v.Target, v.Type)
	}
	return m, nil
}

// unnamedVolumes gives the volumes without a name that a container has.
func unnamedVolumes(mounts []container.MountPoint) []mount.Mount {
	var found []mount.Mount
	for _, m := range mounts {
		if m.Type == mount.TypeVolume && unnamed.MatchString(m.Name) {
			found = append(found, mount.Mount{Type: mount.TypeVolume, Source: m.Name, Target: m.Destination})
		}
	}
	return found
}

func inheritedAt(mounts []mount.Mount, target string) string {
	for _, m := range mounts {
		if filepath.Clean(m.Target) == filepath.Clean(target) {
			return m.Source
		}
	}
	return ""
}

// removeUnnamed takes away the volumes without a name that a removed container had; the
// engine itself keeps one that was handed on from an earlier container.
func (b *Backend) removeUnnamed(ctx context.Context, c container.Summary) {
	for _, m := range unnamedVolumes(c.Mounts) {
		err := tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error {
			return cli.VolumeRemove(ctx, m.Source, false)
		})
		if err != nil && !errdefs.IsNotFound(err) {
			b.log.Warn("an unnamed volume stays", "volume", m.Source, "why", err)
		}
	}
}
