package docker_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestLabelsAndName(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	svc.Image.Config.Labels = types.Labels{"own": "yes"}
	c := w.inspect(w.start(svc, 1).About().ID)
	want := map[string]string{
		"own":                                    "yes",
		"com.docker.compose.project":             w.project,
		"com.docker.compose.service":             "web",
		"com.docker.compose.container-number":    "1",
		"com.docker.compose.oneoff":              "False",
		"com.docker.compose.config-hash":         svc.Hash,
		"com.docker.compose.project.working_dir": svc.Dir,
		"com.docker.compose.image":               c.Image,
		"healbot.project":                        w.project,
		"healbot.service":                        "web",
		"healbot.replica":                        "1",
		"healbot.hash":                           svc.Hash,
	}
	if diff := cmp.Diff(want, c.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if want := "/" + w.project + "-web-1"; c.Name != want {
		t.Errorf("the container is called %s, not %s", c.Name, want)
	}
	if p := c.HostConfig.RestartPolicy.Name; p != "no" {
		t.Errorf("the engine restarts it: %s", p)
	}
}

func TestAttributesReachTheEngine(t *testing.T) {
	w := newWorld(t)
	dir, value := t.TempDir(), "bar"
	grace := types.Duration(7 * time.Second)
	svc := w.service("web", "sleep")
	s := &svc.Image.Config
	s.Environment = types.MappingWithEquals{"FOO": &value}
	s.WorkingDir, s.User, s.Hostname, s.StopSignal, s.StopGracePeriod = "/", "0:0", "box", "SIGTERM", &grace
	s.Volumes = []types.ServiceVolumeConfig{
		{Type: "bind", Source: dir + "/made", Target: "/bound", ReadOnly: true},
		{Type: "volume", Source: "data", Target: "/data"},
		{Type: "tmpfs", Target: "/scratch", Tmpfs: &types.ServiceVolumeTmpfs{Size: 1 << 20}},
	}
	svc.Image.Volumes["data"] = types.VolumeConfig{Name: w.project + "_data"}
	t.Cleanup(func() {
		w.must(w.backend.Remove(w.within(), w.project))
		if _, err := w.engine.VolumeInspect(w.within(), w.project+"_data"); err != nil {
			t.Errorf("Remove took a named volume: %v", err)
		}
		w.must(w.engine.VolumeRemove(w.within(), w.project+"_data", false))
	})
	s.Tmpfs = types.StringList{"/run:size=1m"}
	s.CapDrop, s.ReadOnly = []string{"NET_RAW"}, true
	s.MemLimit, s.PidsLimit, s.CPUS = 64<<20, 50, 0.1
	s.Ulimits = map[string]*types.UlimitsConfig{"nofile": {Soft: 100, Hard: 200}}
	s.Logging = &types.LoggingConfig{Driver: "json-file", Options: types.Options{"max-size": "1m", "max-file": "2"}}
	s.GroupAdd, s.ShmSize, s.Expose = []string{"7"}, 1<<20, types.StringOrNumberList{"80-81"}

	c := w.inspect(w.start(svc, 1).About().ID)

	got := map[string]any{
		"env": slices.Contains(c.Config.Env, "FOO=bar"), "dir": c.Config.WorkingDir, "user": c.Config.User,
		"host": c.Config.Hostname, "grace": *c.Config.StopTimeout, "binds": c.HostConfig.Binds,
		"memory": c.HostConfig.Memory, "cpus": c.HostConfig.NanoCPUs, "pids": *c.HostConfig.PidsLimit,
		"log": c.HostConfig.LogConfig, "shm": c.HostConfig.ShmSize, "tmpfs": c.HostConfig.Tmpfs,
		"drop": []string(c.HostConfig.CapDrop), "groups": c.HostConfig.GroupAdd, "ports": len(c.Config.ExposedPorts),
		"mounts": len(c.HostConfig.Mounts), "soft": c.HostConfig.Ulimits[0].Soft, "ro": c.HostConfig.ReadonlyRootfs,
	}
	want := map[string]any{
		"env": true, "dir": "/", "user": "0:0", "host": "box", "grace": 7,
		"binds": []string{dir + "/made:/bound:ro"}, "memory": int64(64 << 20), "cpus": int64(100_000_000),
		"pids": int64(50), "log": container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m", "max-file": "2"}},
		"shm": int64(1 << 20), "tmpfs": map[string]string{"/run": "size=1m"}, "drop": []string{"CAP_NET_RAW"},
		"groups": []string{"7"}, "ports": 2, "mounts": 2, "soft": int64(100), "ro": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBindThatIsNotRecursive(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	bind := &types.ServiceVolumeBind{CreateHostPath: true, Recursive: "disabled"}
	svc.Image.Config.Volumes = []types.ServiceVolumeConfig{{Type: "bind", Source: t.TempDir(), Target: "/bound", Bind: bind, Consistency: "cached"}}
	c := w.inspect(w.start(svc, 1).About().ID)
	if m := c.HostConfig.Mounts; len(m) != 1 || !m[0].BindOptions.NonRecursive || m[0].Consistency != "cached" {
		t.Errorf("mounts: %+v", m)
	}
	other := w.service("other", "sleep")
	bind.Recursive = "readonly"
	other.Image.Config.Volumes = svc.Image.Config.Volumes
	if _, err := w.tryStart(other, 1); versions.LessThan(w.engine.ClientVersion(), "1.44") &&
		(err == nil || !strings.Contains(err.Error(), "recursive: readonly needs Docker Engine 25 or later")) {
		t.Errorf("with an engine too old for it: %v", err)
	}
}

// TestAPISocket: the container reaches the engine, and has the credentials of docker login.
func TestAPISocket(t *testing.T) {
	w := newWorld(t)
	login := t.TempDir()
	t.Setenv("DOCKER_CONFIG", login)
	w.must(os.WriteFile(filepath.Join(login, "config.json"), []byte(`{"auths": {"registry.example": {"auth": "bWU6aHVudGVyMg=="}}}`), 0o600))
	svc := w.service("web", "has", "/run/secrets/docker/config.json", `{"auths":{"registry.example":{"auth":"bWU6aHVudGVyMg=="}}}`)
	svc.Image.Config.UseAPISocket = true
	i := w.start(svc, 1)
	c := w.inspect(i.About().ID)
	if !slices.Contains(c.HostConfig.Binds, "/var/run/docker.sock:/var/run/docker.sock:rw") || !slices.Contains(c.Config.Env, "DOCKER_CONFIG=/run/secrets/docker") {
		t.Errorf("binds %q, env %q", c.HostConfig.Binds, c.Config.Env)
	}
	if e := w.wait(i); e.Code != 0 {
		t.Errorf("it did not find the credentials: %+v", e)
	}
}

func TestUnnamedVolumeGoesAlong(t *testing.T) {
	w := newWorld(t)
	svc := w.service("db", "sleep")
	svc.Image.Config.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Target: "/data"}}
	first := w.start(svc, 1)
	volume := w.inspect(first.About().ID).Mounts[0].Name
	w.must(first.Kill(w.within()))
	w.wait(first)
	svc.Hash = "other"
	second := w.start(svc, 2)
	if got := w.inspect(second.About().ID).Mounts[0].Name; got != volume || first.About().ID == second.About().ID {
		t.Errorf("the new container has volume %s, the old had %s", got, volume)
	}
	w.must(w.backend.Remove(w.within(), w.project))
	if _, err := w.engine.VolumeInspect(w.within(), volume); err == nil {
		t.Error("the unnamed volume outlived Remove")
	}
}

func TestEngineHealthCheck(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		test []string
		want service.Verdict
	}{
		{"well", []string{"CMD", "/fixture", "exit", "0"}, service.Verdict{Healthy: true}},
		{"ill", []string{"CMD", "/fixture", "exit", "1"}, service.Verdict{Why: "health check exited with code 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := w.service(c.name, "sleep")
			i := w.start(withHealth(svc, c.test), 1)
			if got := w.verdict(i); got != c.want {
				t.Errorf("the verdict is %+v, want %+v", got, c.want)
			}
			later := open(t)
			adopted, err := later.Adopt(w.within(), w.project)
			w.must(err)
			for _, a := range adopted {
				if a.About().ID == i.About().ID {
					if got := w.verdict(a); got != c.want {
						t.Errorf("the verdict at adoption is %+v, want %+v", got, c.want)
					}
				}
			}
		})
	}
	i := w.start(withHealth(w.service("unable", "sleep"), []string{"CMD", "/no/such/probe"}), 1)
	if got := w.verdict(i); !got.Unable || got.Healthy {
		t.Errorf("a check that can't run gives %+v", got)
	}
	if i := w.start(w.service("unchecked", "sleep"), 1); i.Health() != nil {
		t.Error("a container without health check has verdicts")
	}
}

func withHealth(svc service.Service, test []string) service.Service {
	short, retries := types.Duration(100*time.Millisecond), uint64(1)
	svc.Check = &service.Check{Engine: true}
	svc.Image.Config.HealthCheck = &types.HealthCheckConfig{Test: test, Interval: &short, Retries: &retries}
	return svc
}

func (w *world) verdict(i interface{ Health() <-chan service.Verdict }) service.Verdict {
	w.t.Helper()
	select {
	case v := <-i.Health():
		return v
	case <-time.After(healtest.Deadline):
		w.t.Fatal("no verdict came")
		return service.Verdict{}
	}
}

func TestOutOfMemory(t *testing.T) {
	w := newWorld(t)
	svc := w.service("greedy", "long", "1000000000")
	svc.Image.Config.MemLimit = 16 << 20
	svc.Image.Config.MemSwapLimit = 16 << 20
	if e := w.wait(w.start(svc, 1)); !e.OOM {
		t.Errorf("killed for its memory, it ended as %+v", e)
	}
}

// The engine here knows no start_interval: without the early look its first verdict
// would come after an hour.
func TestStartIntervalOnAnOldEngine(t *testing.T) {
	w := newWorld(t)
	svc := withHealth(w.service("slow", "sleep"), []string{"CMD", "/fixture", "exit", "0"})
	hour, soon, period := types.Duration(time.Hour), types.Duration(50*time.Millisecond), types.Duration(time.Minute)
	h := svc.Image.Config.HealthCheck
	h.Interval, h.StartInterval, h.StartPeriod = &hour, &soon, &period
	if got := w.verdict(w.start(svc, 1)); !got.Healthy {
		t.Errorf("the verdict is %+v", got)
	}
}
