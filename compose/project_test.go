package compose

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
)

const withSecrets = `
services:
  a:
    image: x
    environment: {DB_PASSWORD: hunter2, API_KEY: hunter2, DSN: hunter2, DATABASE_URL: "postgres://u:hunter2@db/x", MONKEYS: many, EMPTY_TOKEN: ""}
    build: {context: ., args: {NPM_TOKEN: hunter2}}
    healthcheck: {x-http: {url: "http://u:hunter2@localhost", headers: {authorization: hunter2}}}
    x-healbot: {notify: [{url: "https://hooks.example.com/hunter2?token=hunter2"}]}
configs:
  c: {environment: CANARY}
`

func TestConfigMasks(t *testing.T) {
	p, err := load(t, withSecrets, "CANARY=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"", "yaml", "json"} {
		text, err := p.Config(false, format)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hunter2") {
			t.Errorf("format %q shows a secret:\n%s", format, text)
		}
		for _, kept := range []string{"many", "postgres://u:" + mask + "@db/x", "DB_PASSWORD"} {
			if !strings.Contains(string(text), kept) {
				t.Errorf("format %q lacks %s:\n%s", format, kept, text)
			}
		}
		if format == "json" && !json.Valid(text) {
			t.Error("not valid JSON")
		}
	}
	text, err := p.Config(true, "yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "hunter2"); n < 9 {
		t.Errorf("with secrets shown, %d of 9 are there:\n%s", n, text)
	}
	if _, err := p.Config(false, "toml"); err == nil {
		t.Error("format toml was accepted")
	}
}

// A value of the environment is in no problem and no warning, whatever is wrong.
func TestProblemsKeepSecrets(t *testing.T) {
	_, err := load(t, `
services:
  a:
    image: x
    environment: {A: [hunter2], x-a: hunter2, "": "${CANARY}"}
    scale: "${CANARY}"
    ports: ["${CANARY}"]
    restart: "${CANARY}"
    stop_signal: "${CANARY}"
    stop_grace_period: "${CANARY}"
    mem_limit: "${CANARY}"
    healthcheck: {x-http: "${CANARY}", x-tcp: "${CANARY}", interval: "${CANARY}", retries: "${CANARY}"}
    x-healbot: {title: "${CANARY}/", inherit_env: "${CANARY}", restart: {delay: "${CANARY}", condition: "${CANARY}", jitter: "${CANARY}"}}
    deploy: {restart_policy: {condition: "${CANARY}", delay: "${CANARY}"}, replicas: "${CANARY}"}
  b:
    provider: {type: "${CANARY}"}
    command: "${CANARY} &&"
  c:
    provider: {type: healbot, options: {python: "${CANARY}"}}
    command: c
    logging: {driver: "${CANARY}", options: {max-size: "${CANARY}", max-file: "${CANARY}"}}
`, "CANARY=hunter2")
	if err == nil {
		t.Fatal("no problems")
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a value is shown:\n%v", err)
	}
}

func TestProblemsAreTyped(t *testing.T) {
	_, err := load(t, "services: {a: {image: x, restrat: no}}")
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 1 {
		t.Fatalf("got %v", err)
	}
	want := Problem{
		File: "healbot-compose.yml", Line: 1, Column: 26, Service: "a",
		Text: "restrat is not an attribute of a service (did you mean restart?)",
	}
	if ps[0] != want {
		t.Errorf("got %+v", ps[0])
	}
	if got := ps[0].Error(); got != "healbot-compose.yml:1:26: a: "+want.Text {
		t.Error(got)
	}
}

func TestControlCharactersAreNotPrinted(t *testing.T) {
	_, err := load(t, "services: {a: {image: x, \"re\\e[31mstart\\n\": no}}")
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("got %q", err)
	}
}

// Load has no global state, and the same files give the same problems in the same order.
func TestLoadIsRepeatable(t *testing.T) {
	text := "services:\n" + strings.Repeat("  S: {image: x, restrat: no, restart: sometimes, healthcheck: {intervall: 5}, ports: [x]}\n", 6)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		text = strings.Replace(text, "  S:", "  "+name+":", 1)
	}
	_, first := load(t, text)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := load(t, text); err == nil || err.Error() != first.Error() {
				t.Errorf("got\n%v\nand at first\n%v", err, first)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(first.Error(), "\n") + 1; n < 24 {
		t.Errorf("%d lines:\n%v", n, first)
	}
}

func TestDebug(t *testing.T) {
	for value, want := range map[string]bool{"1": true, "true": true, "0": false, "": false, "app:*": false} {
		p, err := load(t, "services: {a: {image: x}}", "DEBUG="+value)
		if err != nil || p.Debug != want {
			t.Errorf("DEBUG=%s: %v, %v", value, p.Debug, err)
		}
	}
}

func TestLocate(t *testing.T) {
	p, err := load(t, "services: {a: {image: x}}")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Locate(Options{Dir: p.Dir})
	if err != nil || dir != p.Dir {
		t.Errorf("got %q, %v", dir, err)
	}
	if _, err := Locate(Options{Dir: p.Dir, Files: []string{"-"}}); err == nil {
		t.Error("standard input was accepted")
	}
}

// What Config gives means the same as the files when it is read again.
func TestConfigCanBeReadAgain(t *testing.T) {
	const file = `
services:
  a:
    provider: {type: healbot}
    command: [sh, -c, "echo $$HOME $${X:-$X}"]
`
	first, err := load(t, file, "X=x", "HOME=/wrong")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"yaml", "json"} {
		text, err := first.Config(true, format)
		if err != nil {
			t.Fatal(err)
		}
		again, err := load(t, string(text), "X=y", "HOME=/wrong")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if got := again.Services[0].Process.Argv[2]; got != "echo $HOME ${X:-x}" {
			t.Errorf("%s: %q", format, got)
		}
	}
}
