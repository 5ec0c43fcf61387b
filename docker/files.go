package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// A file is one secret or config as a container gets it.
type file struct {
	what     string // for people: "secret token"
	target   string // absolute path in the container
	source   string // absolute path on the host of what is bound there; "" if content is copied in
	content  []byte
	uid, gid int
	mode     int64
}

// filesOf gives the secrets and configs of svc. One that is a file of the host is bound
// into the container, so that it is never stale, unless its owner or mode shall differ;
// all others are copied.
func filesOf(svc service.Service) ([]file, error) {
	var all []file
	for _, ref := range svc.Image.Config.Secrets {
		f, err := fileOf(svc, "secret", "/run/secrets", types.FileReferenceConfig(ref), types.FileObjectConfig(svc.Image.Secrets[ref.Source]))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	for _, ref := range svc.Image.Config.Configs {
		f, err := fileOf(svc, "config", "/", types.FileReferenceConfig(ref), types.FileObjectConfig(svc.Image.Configs[ref.Source]))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func fileOf(svc service.Service, kind, folder string, ref types.FileReferenceConfig, def types.FileObjectConfig) (file, error) {
	f := file{what: kind + " " + ref.Source, target: ref.Target, content: []byte(def.Content), mode: 0o444}
	if f.target == "" {
		f.target = ref.Source
	}
	if !path.IsAbs(f.target) {
		f.target = path.Join(folder, f.target)
	}
	if ref.Mode != nil {
		f.mode = int64(*ref.Mode)
	}
	var err error
	for _, id := range []struct {
		text string
		into *int
	}{{ref.UID, &f.uid}, {ref.GID, &f.gid}} {
		if id.text == "" {
			continue
		}
		if *id.into, err = strconv.Atoi(id.text); err != nil {
			return f, fmt.Errorf("service %s: %s: uid and gid must be numbers, not %s", svc.Name, f.what, id.text)
		}
	}
	if def.File != "" {
		if err := f.read(svc.Dir, def.File, ref); err != nil {
			return f, fmt.Errorf("service %s: %s: %w", svc.Name, f.what, err)
		}
	}
	if f.source == "" && svc.Image.Config.ReadOnly {
		return f, fmt.Errorf("service %s: %s can't be copied into a container that is read_only; give it as a file:, without uid, gid and mode", svc.Name, f.what)
	}
	return f, nil
}

// read makes f what a file of the host holds.
func (f *file) read(dir, name string, ref types.FileReferenceConfig) (err error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if ref.UID == "" && ref.GID == "" && ref.Mode == nil {
		f.source = name
		_, err = os.Stat(name)
		return err
	}
	f.content, err = os.ReadFile(name)
	return err
}

// fill copies into a container, before it starts, the files that are not bound.
func (b *Backend) fill(ctx context.Context, svc service.Service, id string) error {
	all, err := filesOf(svc)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	copied := false
	for _, f := range all {
		if f.source != "" {
			continue
		}
		copied = true
		h := &tar.Header{Name: f.target[1:], Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(f.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil || !copied {
		return err
	}
	err = tell(ctx, b, slowTime, func(ctx context.Context, cli *client.Client) error {
		return cli.CopyToContainer(ctx, id, "/", bytes.NewReader(archive.Bytes()), container.CopyToContainerOptions{})
	})
	if err != nil && !isOutside(err) && ctx.Err() == nil {
		return fmt.Errorf("cannot put the secrets and configs of %s into its container: %s", svc.Name, plain(err))
	}
	return err
}
