package docker

import (
	"errors"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

func TestStartFault(t *testing.T) {
	svc := service.Service{Name: "web", Image: &service.Image{}}
	svc.Image.Config.Image = "app:1"
	for said, want := range map[string]string{
		`driver failed programming external connectivity on endpoint x (0a): Error starting userland proxy: listen tcp4 0.0.0.0:2020: bind: address already in use`: "outside: port 2020 is in use; stop what holds it, or publish another port",
		`driver failed programming external connectivity on endpoint x (0a): Bind for 0.0.0.0:2020 failed: port is already allocated`:                               "outside: port 2020 is in use; stop what holds it, or publish another port",
		`failed to set up container networking: driver failed: failed to bind host port for [::]:2020:172.17.0.2:80/tcp: address already in use`:                    "outside: port 2020 is in use; stop what holds it, or publish another port",
		`failed to bind host port 0.0.0.0:2020/tcp: address already in use`:                                                                                         "outside: port 2020 is in use; stop what holds it, or publish another port",
		`OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/no": stat /no: no such file or directory: unknown`:           "cannot start web: command /no in image app:1: no such file or directory",
		`failed to create task for container: OCI runtime create failed: runc create failed: exec: "nope": executable file not found in $PATH: unknown`:             "cannot start web: command nope in image app:1: executable file not found in $PATH",
		`OCI runtime create failed: unable to find user nobody: no matching entries in passwd file: unknown`:                                                        "cannot start the container of web: unable to find user nobody: no matching entries in passwd file",
		`write /var/lib/x: no space left on device`: "outside: cannot start the container of web: write /var/lib/x: no space left on device",
	} {
		b := New(Options{Host: "unix:///nonexistent"})
		err := b.startFault(t.Context(), svc, errors.New("Error response from daemon: "+said))
		got := err.Error()
		if isOutside(err) {
			got = "outside: " + got
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", said, got, want)
		}
	}
}

func TestPullFault(t *testing.T) {
	for said, outside := range map[string]bool{
		"manifest for app:1 not found: manifest unknown":                                                           false,
		"pull access denied for app, repository does not exist or may require 'docker login'":                      false,
		"Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host":                true,
		"Get https://r.example/v2/: dial tcp: lookup r.example on 10.0.0.1:53: server misbehaving: host not found": true,
		"toomanyrequests: You have reached your pull rate limit":                                                   true,
		"Get http://127.0.0.1:1/v2/: dial tcp 127.0.0.1:1: connect: connection refused":                            true,
		"net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)": true,
		"no matching manifest for linux/arm64/v8 in the manifest list entries":                                     false,
		`Head "http://127.0.0.1:5000/v2/app/manifests/1": no basic auth credentials`:                               false,
		"unauthorized: authentication required":                                                                    false,
	} {
		if got := isOutside(pullFault("app:1", errors.New(said))); got != outside {
			t.Errorf("outside is %v for: %s", got, said)
		}
	}
}

func TestRegistryOf(t *testing.T) {
	for ref, want := range map[string]string{
		"nginx": hubKey, "library/nginx": hubKey, "docker.io/library/nginx": hubKey,
		"ghcr.io/a/b:1": "ghcr.io", "localhost/a": "localhost", "host:5000/a": "host:5000",
	} {
		if got := registryOf(ref); got != want {
			t.Errorf("the registry of %s is %s, want %s", ref, got, want)
		}
	}
}

func TestSupportedIsTrue(t *testing.T) {
	have := make(map[string]bool)
	for _, p := range Supported() {
		have[p] = true
	}
	for path, want := range map[string]bool{
		"services.*.image": true, "services.*.ports.[].target": true, "services.*.environment.*": true,
		"services.*.deploy.resources.limits.memory": true, "services.*.depends_on.*.condition": true,
		"services.*.volumes.[].tmpfs.size": true, "networks.*.ipam.config.[].subnet": true,
		"services.*.build.context": true, "services.*.build.ssh": true, "services.*.build.secrets.[].mode": false, "services.*.secrets.[].uid": true, "services.*.volumes.[].bind.recursive": true,
		"services.*.links": true, "services.*.deploy.placement": false, "jobs.*.image": false,
	} {
		if have[path] != want {
			t.Errorf("%s: supported is %v", path, have[path])
		}
	}
	known := make(map[string]bool)
	for _, list := range [][]string{supported, loaded, refused, ineffective} {
		for _, p := range list {
			if known[p] {
				t.Errorf("%s is listed twice", p)
			}
			known[p] = true
			if p != "version" && !covered(p, Supported()) && !covered(p, refused) && !slices.Contains(Ineffective(), p) && !have[p+".cpus"] && p != "include" {
				t.Errorf("%s is no path of the schema", p)
			}
		}
	}
}

func TestNanoCPUsAreExact(t *testing.T) {
	for in, want := range map[float32]int64{0.1: 100_000_000, 1.5: 1_500_000_000, 0.333: 333_000_000} {
		if got := nanoCPUs(in); got != want {
			t.Errorf("%v CPUs are %d, want %d", in, got, want)
		}
	}
}

func TestVolumeForms(t *testing.T) {
	for _, c := range []struct {
		v    types.ServiceVolumeConfig
		want string
	}{
		{types.ServiceVolumeConfig{Type: "bind", Source: "/a", Target: "/b"}, "/a:/b:rw"},
		{types.ServiceVolumeConfig{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true, Bind: &types.ServiceVolumeBind{CreateHostPath: true, SELinux: "z", Propagation: "rslave"}}, "/a:/b:ro,z,rslave"},
		{types.ServiceVolumeConfig{Type: "bind", Source: "/a", Target: "/b", Bind: &types.ServiceVolumeBind{}}, ""},
		{types.ServiceVolumeConfig{Type: "bind", Source: "/a", Target: "/b", Consistency: "cached"}, "/a:/b:rw,cached"},
		{types.ServiceVolumeConfig{Type: "bind", Source: "/a", Target: "/b", Bind: &types.ServiceVolumeBind{CreateHostPath: true, Recursive: "disabled"}}, ""},
		{types.ServiceVolumeConfig{Type: "volume", Source: "a", Target: "/b"}, ""},
	} {
		if got, _ := asBind(c.v); got != c.want {
			t.Errorf("%+v is %q, want %q", c.v, got, c.want)
		}
	}
}
