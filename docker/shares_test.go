package docker_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// file reads a file of a container; its header says whose it is.
func (w *world) file(id, path string) (*tar.Header, string) {
	w.t.Helper()
	archive, _, err := w.engine.CopyFromContainer(w.within(), id, path)
	w.must(err)
	defer archive.Close()
	r := tar.NewReader(archive)
	h, err := r.Next()
	w.must(err)
	text, err := io.ReadAll(r)
	w.must(err)
	return h, string(text)
}

func TestSecretsAndConfigs(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	w.must(os.WriteFile(filepath.Join(svc.Dir, "token"), []byte("from a file"), 0o600))
	mode := types.FileMode(0o440)
	svc.Image.Secrets = types.Secrets{
		"token": {Name: "token", File: "token"},
		"key":   {Name: "key", Environment: "KEY", Content: "from a variable"},
	}
	svc.Image.Configs = types.Configs{"app": {Name: "app", Content: "from the project"}}
	svc.Image.Config.Secrets = []types.ServiceSecretConfig{
		{Source: "token"},
		{Source: "key", Target: "pem", UID: "7", GID: "8", Mode: &mode},
		{Source: "token", Target: "/copied", UID: "9"},
	}
	svc.Image.Config.Configs = []types.ServiceConfigObjConfig{{Source: "app"}, {Source: "app", Target: "/etc/app.conf"}}
	first := w.start(svc, 1)
	id := first.About().ID
	for path, want := range map[string]string{
		"/run/secrets/token": "from a file", "/run/secrets/pem": "from a variable", "/copied": "from a file",
		"/app": "from the project", "/etc/app.conf": "from the project",
	} {
		if _, text := w.file(id, path); text != want {
			t.Errorf("%s holds %q, not %q", path, text, want)
		}
	}
	if h, _ := w.file(id, "/run/secrets/pem"); h.Uid != 7 || h.Gid != 8 || h.Mode&0o777 != 0o440 {
		t.Errorf("the key is %d:%d %o", h.Uid, h.Gid, h.Mode)
	}
	if h, _ := w.file(id, "/app"); h.Uid != 0 || h.Mode&0o777 != 0o444 {
		t.Errorf("the config is %d %o", h.Uid, h.Mode)
	}
	if m := w.inspect(id).Mounts; len(m) != 1 || m[0].Destination != "/run/secrets/token" || m[0].RW {
		t.Errorf("the container has %+v", m)
	}
	svc.Name, svc.Image.Config.ReadOnly = "locked", true
	if _, err := w.tryStart(svc, 1); err == nil || errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "can't be copied into a container that is read_only") {
		t.Errorf("a copied secret in a read-only container: %v", err)
	}
}

func TestNamespacesAndVolumesOfAnotherService(t *testing.T) {
	w := newWorld(t)
	owner := w.networked("owner", "sleep")
	owner.Image.Config.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Target: "/data"}}
	owner.Image.Config.Ipc = "shareable"
	guest := w.service("guest", "sleep")
	guest.Image.Config.NetworkMode, guest.Image.Config.Pid, guest.Image.Config.Ipc = "service:owner", "service:owner", "service:owner"
	guest.Image.Config.VolumesFrom = []string{"owner:ro"}
	if _, err := w.tryStart(guest, 1); !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "which has none yet") {
		t.Errorf("before its owner came up: %v", err)
	}
	first := w.start(owner, 1)
	g := w.start(guest, 1)
	c := w.inspect(g.About().ID)
	want := "container:" + first.About().ID
	if h := c.HostConfig; string(h.NetworkMode) != want || string(h.PidMode) != want || string(h.IpcMode) != want {
		t.Errorf("it shares %s, %s, %s", h.NetworkMode, h.PidMode, h.IpcMode)
	}
	if len(c.Mounts) != 1 || c.Mounts[0].Destination != "/data" || c.Mounts[0].RW {
		t.Errorf("it has %+v", c.Mounts)
	}
	w.must(g.Kill(w.within()))
	w.wait(g)
	if again := w.start(guest, 2); again.About().ID != g.About().ID {
		t.Error("it was replaced, although its owner is the same")
	} else {
		w.must(again.Kill(w.within()))
		w.wait(again)
	}
	owner.Hash = "other"
	w.must(first.Kill(w.within()))
	w.wait(first)
	second := w.start(owner, 2)
	again := w.start(guest, 3)
	if got := string(w.inspect(again.About().ID).HostConfig.NetworkMode); got != "container:"+second.About().ID {
		t.Errorf("after its owner was replaced it shares %s", got)
	}
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	db := w.start(w.networked("db", "sleep"), 1)
	web := w.networked("web", "sleep")
	web.Image.Config.Links = []string{"db:store"}
	web.Image.Config.ExternalLinks = []string{w.project + "-db-1:out"}
	e := w.inspect(w.start(web, 1).About().ID).NetworkSettings.Networks[w.project+"_default"]
	called := strings.TrimPrefix(w.inspect(db.About().ID).Name, "/")
	for _, want := range []string{called + ":store", called + ":db-1", called + ":out"} {
		if e == nil || !slices.Contains(e.Links, want) {
			t.Errorf("link %s is missing: %+v", want, e)
		}
	}
}

func TestSubpathNeedsANewerEngine(t *testing.T) {
	w := newWorld(t)
	w.engine.NegotiateAPIVersion(w.within())
	if v := w.engine.ClientVersion(); v >= "1.45" {
		t.Skipf("the engine speaks %s", v)
	}
	svc := w.service("web", "sleep")
	svc.Image.Config.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Target: "/data", Volume: &types.ServiceVolumeVolume{Subpath: "a"}}}
	if _, err := w.tryStart(svc, 1); err == nil || !strings.Contains(err.Error(), "needs Docker Engine 26") {
		t.Errorf("%v", err)
	}
}
