package compose

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// The directory may have any name, also one that means something in a URL.
func TestLoadFromAnyDirectory(t *testing.T) {
	for _, name := range []string{"100%", "a#b", "a?b=%zz", "wéird \"$x\" [1]"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "healbot-compose.yml")
		if err := os.WriteFile(file, []byte("name: x\nservices: {a: {provider: {type: healbot}, command: sleep 1}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(dir)
		p, err := Load(context.Background(), Options{Dir: dir})
		if err != nil || p.Dir != dir || len(p.Services) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if wd, err := os.Getwd(); wd != dir {
			t.Errorf("the directory is now %s, %v", wd, err)
		}
	}
}
