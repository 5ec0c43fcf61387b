package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// ownDockerfile is the name in the archive of a Dockerfile that does not lie in the
// context. The archive's .dockerignore names it, so that no COPY sees it.
const ownDockerfile = ".dockerfile.healbot"

// A buildContext is what a build sends to the engine.
type buildContext struct {
	dir        string // "": remote is not
	remote     string // URL that the engine fetches itself
	dockerfile string // name of the Dockerfile within the context
	file       string // path of the Dockerfile on this host, or within remote; "-" for one that stands in the Compose file
	own        []byte // text of a Dockerfile that does not lie in it
	ignored    *ignorelist
}

// contextOf finds out what a build sends.
func contextOf(svc service.Service) (buildContext, error) {
	config := svc.Image.Config.Build
	c := buildContext{dir: config.Context, dockerfile: config.Dockerfile, ignored: &ignorelist{}}
	if c.dockerfile == "" {
		c.dockerfile = "Dockerfile"
	}
	if isRemote(c.dir) {
		c.dir, c.remote, c.file = "", c.dir, c.dockerfile
		if config.DockerfileInline != "" {
			return c, fmt.Errorf("service %s: dockerfile_inline can't be used with the remote context %s; keep the Dockerfile there", svc.Name, c.remote)
		}
		return c, nil
	}
	if !filepath.IsAbs(c.dir) {
		c.dir = filepath.Join(svc.Dir, c.dir)
	}
	if info, err := os.Stat(c.dir); err != nil || !info.IsDir() {
		return c, fmt.Errorf("service %s: the build context %s is no folder that can be read; check build.context", svc.Name, c.dir)
	}
	return c, c.place(svc.Name, config)
}

// place finds the Dockerfile, and what lies in the context but is left out.
func (c *buildContext) place(name string, config *types.BuildConfig) (err error) {
	file := c.dockerfile
	if !filepath.IsAbs(file) {
		file = filepath.Join(c.dir, file)
	}
	if config.DockerfileInline != "" {
		c.dockerfile, c.file, c.own = ownDockerfile, "-", []byte(config.DockerfileInline)
		c.ignored, err = readIgnore(c.dir, file)
		return err
	}
	within, err := filepath.Rel(c.dir, file)
	outside := err != nil || within == ".." || strings.HasPrefix(within, "../")
	c.dockerfile, c.file = filepath.ToSlash(within), file
	if outside {
		c.dockerfile = ownDockerfile
		c.own, err = os.ReadFile(file)
	} else {
		_, err = os.Stat(file)
	}
	if err != nil {
		return fmt.Errorf("service %s: cannot read the Dockerfile %s; check build.dockerfile", name, file)
	}
	c.ignored, err = readIgnore(c.dir, file)
	return err
}

func isRemote(context string) bool {
	for _, scheme := range []string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(context, scheme) {
			return true
		}
	}
	return false
}

// send gives the context as an archive to read; nil for one that the engine fetches
// itself. The result must be called in the end, and says what could not be read.
func (c *buildContext) send(ctx context.Context) (archive io.Reader, done func() error) {
	if c.remote != "" {
		return nil, func() error { return nil }
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := c.pack(ctx, w)
		w.CloseWithError(err)
		packed <- err
	}()
	return r, func() error {
		r.Close()
		if err := <-packed; !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return nil
	}
}

// pack writes the context as an archive. Files belong to root there, so that what is
// built does not depend on who builds it. It begins with a plain header, since BuildKit
// looks at the first 1024 bytes to tell an archive from a Dockerfile.
func (c *buildContext) pack(ctx context.Context, to io.Writer) error {
	w := tar.NewWriter(to)
	if err := w.WriteHeader(&tar.Header{Name: "./", Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
		return err
	}
	err := filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		name, relErr := filepath.Rel(c.dir, path)
		if err = errors.Join(err, relErr); err != nil || name == "." {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case c.own != nil && (name == ownDockerfile || name == ".dockerignore"):
			return nil
		case name == c.dockerfile || name == ".dockerignore" || !c.ignored.ignores(name):
			return packFile(w, path, name, entry)
		case entry.IsDir() && !c.ignored.excepts && !strings.HasPrefix(c.dockerfile, name+"/"):
			return filepath.SkipDir
		}
		return nil
	})
	if err == nil && c.own != nil {
		ignore := c.ignored.text + "\n" + ownDockerfile + "\n.dockerignore\n"
		err = errors.Join(packText(w, ownDockerfile, c.own), packText(w, ".dockerignore", []byte(ignore)))
	}
	return errors.Join(err, w.Close())
}

func packFile(w *tar.Writer, path, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	var link string
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	case info.Mode()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0:
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(w, f, h.Size); err != nil {
		return fmt.Errorf("%s changed while it was read: %w", path, err)
	}
	return nil
}

// packText adds a file of root's that anybody may read.
func packText(w *tar.Writer, name string, text []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}
