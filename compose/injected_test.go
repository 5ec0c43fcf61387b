package compose

import (
	"slices"
	"strings"
	"testing"
)

func TestInjectedIsNoPartOfTheHash(t *testing.T) {
	const native = "provider: {type: healbot}, command: run, working_dir: /w, depends_on: [db]"
	var hashes []string
	for _, port := range []string{"5432", "5433"} {
		p, err := load(t, "services:\n  a: {"+native+"}\n  db: {image: x, ports: ['"+port+":1']}\n")
		if err != nil {
			t.Fatal(err)
		}
		a := p.Services[0]
		if !slices.Contains(a.Process.Env, "DB_URL=tcp://127.0.0.1:"+port) {
			t.Errorf("the environment lacks DB_URL: %q", a.Process.Env)
		}
		hashes = append(hashes, a.Hash)
	}
	if hashes[0] != hashes[1] {
		t.Error("another port of a dependency is another configuration")
	}
}

// A port that is not published is found at the container's address, once it has one.
func TestEndpointOfAnUnpublishedPort(t *testing.T) {
	const native = "provider: {type: healbot}, command: run, working_dir: /w, depends_on: [my-db]"
	for file, want := range map[string][]string{
		"ports: ['5432']":          {"MY_DB_HOST=10.0.0.7", "MY_DB_PORT=5432", "MY_DB_URL=tcp://10.0.0.7:5432"},
		"expose: [80, '9000/udp']": {"MY_DB_HOST=10.0.0.7", "MY_DB_PORT=80", "MY_DB_URL=tcp://10.0.0.7:80"},
		"init: true":               nil,
	} {
		p, err := load(t, "services:\n  a: {"+native+", environment: {OTHER: x}}\n  my-db: {image: x, "+file+"}\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"", "10.0.0.7"} {
			env := p.Services[0].Located(func(string) string { return at }).Process.Env
			env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return !strings.HasPrefix(kv, "MY_DB_") })
			if at == "" && len(env) > 0 || at != "" && !slices.Equal(env, want) {
				t.Errorf("%s at %q: %q, want %q", file, at, env, want)
			}
		}
	}
}

// Containers find native services by name, and are not replaced for those they do not need.
func TestNativesOfAContainer(t *testing.T) {
	const api, web = "  api: {provider: {type: healbot}, command: run, working_dir: /w, ports: ['80:80'], healthcheck: {x-http: 'http://localhost/'}}\n",
		"  web: {image: x, environment: {API_PORT: mine}, depends_on: [api]}\n  box: {image: x}\n"
	var first map[string]string
	for _, more := range []string{"", "  other: {provider: {type: healbot}, command: run, working_dir: /w, ports: ['81:81']}\n  mute: {provider: {type: healbot}, command: run, working_dir: /w}\n"} {
		p, err := load(t, "services:\n"+api+web+more)
		if err != nil {
			t.Fatal(err)
		}
		hashes := map[string]string{}
		for _, s := range p.Services {
			hashes[s.Name] = s.Hash
			want := []string{"api", "other"}
			if more == "" {
				want = want[:1]
			}
			if s.Image != nil && !slices.Equal(s.Image.Natives, want) {
				t.Errorf("%s knows %q, want %q", s.Name, s.Image.Natives, want)
			}
			if s.Name == "web" {
				env := s.Image.Config.Environment
				if *env["API_HOST"] != "api" || *env["API_PORT"] != "mine" || *env["API_URL"] != "http://api:80" {
					t.Errorf("environment of web: %v", env)
				}
			}
		}
		if first == nil {
			first = hashes
		} else if first["web"] != hashes["web"] || first["box"] != hashes["box"] {
			t.Error("another native service is another configuration of a container")
		}
	}
}
