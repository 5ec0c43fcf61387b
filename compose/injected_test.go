package compose

import (
	"slices"
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
