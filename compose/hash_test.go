package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load loads a file with the given text, in a directory that keeps its name.
func load(t *testing.T, text string, environ ...string) (*Project, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "healbot-compose.yml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(t.Context(), Options{Dir: dir, Environ: environ})
}

// hash gives the configuration hash of the service a, with the directory, which
// differs from test to test, taken out by using absolute paths only.
func hash(t *testing.T, service string, environ ...string) string {
	t.Helper()
	p, err := load(t, "services:\n  b: {image: x}\n  a: {"+service+"}\n", environ...)
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	return p.Services[0].Hash
}

func TestHashOfNative(t *testing.T) {
	const base = "provider: {type: healbot, options: {venv: /v}}, command: run, working_dir: /w, environment: {A: b}"
	want := hash(t, base)
	for _, live := range []string{
		"restart: always",
		"deploy: {restart_policy: {condition: any}}",
		"x-healbot: {title: Other, restart: {delay: 1s}, inherit_env: none}",
		"healthcheck: {x-http: 'http://localhost'}",
		"healthcheck: {test: check}",
		"depends_on: [b]",
		"ports: ['80']",
		"logging: {driver: none}",
		"logging: {options: {max-size: 1m}}",
		"scale: 2",
		"stop_signal: SIGINT",
		"stop_grace_period: 1s",
		"labels: {a: b}",
		"post_start: [{command: x}]",
		"pre_stop: [{command: x}]",
	} {
		if got := hash(t, base+", "+live); got != want {
			t.Errorf("%s: applies live, yet changes the hash", live)
		}
	}
	if got := hash(t, base, "HOME=/elsewhere", "PATH=/bin"); got != want {
		t.Error("the inherited environment changes the hash")
	}
	for _, other := range []string{
		strings.Replace(base, "run", "walk", 1),
		strings.Replace(base, "command: run", "command: run, entrypoint: sh", 1),
		strings.Replace(base, "/w", "/x", 1),
		strings.Replace(base, "A: b", "A: c", 1),
		strings.Replace(base, "/v", "/u", 1),
		strings.Replace(base, "venv: /v", "venv: /v, python: '3.11'", 1),
		base + ", user: nobody",
		base + ", group_add: [adm]",
		base + ", oom_score_adj: 5",
		base + ", ulimits: {nofile: 100}",
		base + ", x-healbot: {umask: '077'}",
		base + ", cpus: 0.5",
		base + ", mem_limit: 64m",
		base + ", pids_limit: 9",
		base + ", deploy: {resources: {limits: {memory: 64m}}}",
	} {
		if hash(t, other) == want {
			t.Errorf("%s: does not change the hash", other)
		}
	}
}

func TestHashOfContainer(t *testing.T) {
	const base = "image: x, command: run, environment: {A: b}"
	want := hash(t, base)
	for _, live := range []string{
		"restart: always",
		"deploy: {restart_policy: {condition: any, x-factor: 3}}",
		"deploy: {replicas: 3}",
		"scale: 3",
		"depends_on: [b]",
		"x-healbot: {title: Other, restart: {delay: 1s}}",
		"healthcheck: {x-http: 'http://localhost'}",
		"healthcheck: {x-tcp: 'localhost:1', interval: 2s, x-on-unhealthy: ignore}",
		"pull_policy: always",
	} {
		if got := hash(t, base+", "+live); got != want {
			t.Errorf("%s: applies live, yet changes the hash", live)
		}
	}
	for _, created := range []string{
		"ports: ['80:80']",
		"labels: {a: b}",
		"healthcheck: {test: check}",
		"user: nobody",
		"stop_signal: SIGINT",
		"deploy: {resources: {limits: {cpus: '1'}}}",
	} {
		if hash(t, base+", "+created) == want {
			t.Errorf("%s: does not change the hash", created)
		}
	}
	tested := base + ", healthcheck: {test: check, interval: 1s}"
	if hash(t, tested) == hash(t, tested, "MONITOR_INTERVAL=9") {
		t.Error("an interval that the engine is told does not change the hash")
	}
}
